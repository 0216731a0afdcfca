/* What is read once is asked for so many bytes before it is read: the processor's own prefetching ends with
 * a page, and with a block that another thread goes on from. Of 512 to 4096, the best where it was measured. */

enum { AHEAD = 2048 };
