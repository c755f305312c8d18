/* atomic.h -- atomics with the memory order in the name, so that a reader sees which are in use. */
#ifndef ASGDI_ATOMIC_H
#define ASGDI_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { ASGDI_LINE = 64 }; /* bytes of a cache line */

typedef _Atomic uint64_t asgdi_u64;
typedef _Atomic uint32_t asgdi_u32;

#define asgdi_load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define asgdi_load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define asgdi_store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define asgdi_store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define asgdi_add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define asgdi_add_acq_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define asgdi_sub_acq_rel(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)
#define asgdi_or_acq_rel(p, v) atomic_fetch_or_explicit((p), (v), memory_order_acq_rel)
#define asgdi_and_acq_rel(p, v) atomic_fetch_and_explicit((p), (v), memory_order_acq_rel)
#define asgdi_cas_acq_rel(p, e, v)                                               \
    atomic_compare_exchange_strong_explicit((p), (e), (v), memory_order_acq_rel, \
                                            memory_order_acquire)
#define asgdi_cas_relaxed(p, e, v) \
    atomic_compare_exchange_weak_explicit((p), (e), (v), memory_order_relaxed, memory_order_relaxed)

static inline void asgdi_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
