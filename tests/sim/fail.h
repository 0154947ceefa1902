/* fail.h - what must hold: else the run ends with its seed, which does it again. */
#ifndef TESTS_SIM_FAIL_H
#define TESTS_SIM_FAIL_H

#include <stdnoreturn.h>

noreturn void sim_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define must(holds)          ((holds) ? (void)0 : sim_fail(__FILE__, __LINE__, "%s", #holds))
#define must_say(holds, ...) ((holds) ? (void)0 : sim_fail(__FILE__, __LINE__, __VA_ARGS__))

#endif
