/* script.h - conversations with the client core, written down as text.
 *
 * One line a step; see script.c for the words. run_script() fails the running cmocka test with the
 * line that did not hold. */
#ifndef TESTS_BRIDGE_SCRIPT_H
#define TESTS_BRIDGE_SCRIPT_H

void run_script(const char *script);

#endif
