/* Preloaded into a Redis server: its clock is CLOCK_AHEAD seconds ahead. Redis reads its clock by gettimeofday. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    static long ahead;
    struct timespec real;
    (void)zone;
    if (!ahead)
        ahead = atol(getenv("CLOCK_AHEAD"));
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &real);
    now->tv_sec = real.tv_sec + ahead;
    now->tv_usec = real.tv_nsec / 1000;
    return 0;
}
