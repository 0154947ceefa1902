/* fake_lines.h - lines.h without a kernel: one chip of a few lines that the test moves. */
#ifndef FAKE_LINES_H
#define FAKE_LINES_H

#include <stdbool.h>
#include <stddef.h>

#define FAKE_LINES 4

void fake_reset(void); /* chip plugged in, nothing held, all levels 0 */
void fake_plug(bool plugged);
void fake_hold(unsigned line, bool held);  /* by someone else */
void fake_edge(unsigned line, int level);  /* the level changes and the edge is queued */
void fake_level(unsigned line, int level); /* the level changes, its edge is lost */
void fake_wake(unsigned line);             /* readable without an edge */
int fake_get(unsigned line);
unsigned fake_open_ports(void);
unsigned fake_opens(void);
unsigned fake_reads(void); /* port_edges() calls so far */

#endif
