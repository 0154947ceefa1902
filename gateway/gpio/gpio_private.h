/* gpio_private.h - what tests of gpio.c may reach besides the public header. */
#ifndef GPIO_PRIVATE_H
#define GPIO_PRIVATE_H

#include "gpio.h"

/* How often lines are looked after. An unplugged chip may wake nobody (Linux 6.1 does not), so it
 * is found by reading each line this often; a line that is not there is tried again this often. */
#define GPIO_CHECK_MS  2000
#define GPIO_LINES_MAX 256

/* What the timer does every GPIO_CHECK_MS. */
void gpio_check(struct gpio *g);

#endif
