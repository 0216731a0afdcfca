/* What is read once is asked for so many bytes before it is read, into the second cache: the processor's own
 * prefetching ends with a page, and with a block that another thread goes on from. Of 512 to 8192, the best. */

enum { AHEAD = 4096 };
