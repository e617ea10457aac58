// Jobs side by side: threads that take the next one until none is left.
#pragma once

#include <pthread.h>
#include <stdint.h>

namespace macgen {

template <class Job>
struct Jobs {
    const Job& job;
    int64_t count;
    int64_t next;

    void work() {
        for (;;) {
            const int64_t index = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
            if (index >= count) return;
            job(index);
        }
    }
    static void* begin(void* jobs) {
        static_cast<Jobs*>(jobs)->work();
        return nullptr;
    }
};

// Calls job(0) to job(count - 1), in up to so many threads, of which the caller's is one.
template <class Job>
void side_by_side(int64_t count, int64_t threads, const Job& job) {
    constexpr int64_t most = 256;
    pthread_t others[most];
    Jobs<Job> jobs{job, count, 0};
    int64_t wanted = (threads < count ? threads : count) - 1, made = 0;
    if (wanted > most) wanted = most;
    pthread_attr_t attributes;
    if (wanted > 0 && pthread_attr_init(&attributes) == 0) {
        pthread_attr_setstacksize(&attributes, 1 << 20);  // some systems' own are small
        while (made < wanted && pthread_create(&others[made], &attributes, Jobs<Job>::begin, &jobs) == 0) made++;
        pthread_attr_destroy(&attributes);
    }
    jobs.work();
    for (int64_t i = 0; i < made; i++) pthread_join(others[i], nullptr);
}

}  // namespace macgen
