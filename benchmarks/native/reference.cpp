// What the tape is measured against: the ideal cursor (alone, and behind a lock), a bare array, and std::vector.
// Each function times its loops itself and returns nanoseconds per item in `out`: pushes, pops, and the sum of the items.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <mutex>
#include <vector>

namespace {

double now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

// {cur, begin, end} over linked slabs of 1 MiB: one compare, one store, one increment.  Nothing else is kept.
constexpr size_t slab_bytes = 1 << 20;

struct Slab {
    char *data, *fill;
    Slab *prev, *next;
};

struct Cursor {
    char *cur, *begin, *end;
    Slab *slab;
};

Slab *new_slab(Slab *prev) {
    auto *slab = static_cast<Slab *>(std::malloc(sizeof(Slab)));
    slab->data = static_cast<char *>(std::aligned_alloc(64, slab_bytes));
    slab->prev = prev;
    slab->next = nullptr;
    return slab;
}

void enter(Cursor *c, Slab *slab, char *cur) {
    c->slab = slab;
    c->cur = cur;
    c->begin = slab->data;
    c->end = slab->data + slab_bytes;
}

__attribute__((noinline)) void grow(Cursor *c) {
    if (!c->slab->next) c->slab->next = new_slab(c->slab);
    c->slab->fill = c->cur;
    enter(c, c->slab->next, c->slab->next->data);
}

__attribute__((noinline)) void shrink(Cursor *c) { enter(c, c->slab->prev, c->slab->prev->fill); }

// The lock that one writes first: every waiter writes to it all the time, and none ever yields.
class NaiveSpinlock {
    std::atomic_flag taken = ATOMIC_FLAG_INIT;

public:
    void lock() {
        while (taken.test_and_set(std::memory_order_acquire)) {}
    }
    void unlock() { taken.clear(std::memory_order_release); }
};

template <class Lock>
struct Locked {
    Lock lock;
    Cursor cursor;
    Slab *first;
};

template <class Lock>
void *locked_new() {
    auto *t = new Locked<Lock>;
    t->first = new_slab(nullptr);
    enter(&t->cursor, t->first, t->first->data);
    return t;
}

template <class Lock>
void clear(Locked<Lock> *t) {
    std::lock_guard<Lock> guard(t->lock);
    enter(&t->cursor, t->first, t->first->data);
}

// Many times: n pushes, and the tape is emptied.
template <class Lock>
void locked_push(void *tape, long n, long times) {
    auto *t = static_cast<Locked<Lock> *>(tape);
    Cursor *c = &t->cursor;
    for (long k = 0; k < times; k++) {
        for (long i = 0; i < n; i++) {
            std::lock_guard<Lock> guard(t->lock);
            if (__builtin_expect(c->cur == c->end, 0)) grow(c);
            *reinterpret_cast<double *>(c->cur) = static_cast<double>(i);
            c->cur += sizeof(double);
        }
        clear(t);
    }
}

// The same with n blocks of 64 items, which divide slabs.
template <class Lock>
void locked_extend(void *tape, long n, long times) {
    double block[64] = {};
    auto *t = static_cast<Locked<Lock> *>(tape);
    Cursor *c = &t->cursor;
    for (long k = 0; k < times; k++) {
        for (long i = 0; i < n; i++) {
            block[0] = static_cast<double>(i);
            std::lock_guard<Lock> guard(t->lock);
            if (__builtin_expect(c->cur == c->end, 0)) grow(c);
            std::memcpy(c->cur, block, sizeof block);
            c->cur += sizeof block;
        }
        clear(t);
    }
}

}  // namespace

extern "C" {

void *mutex_new() { return locked_new<std::mutex>(); }
void mutex_push(void *tape, long n, long times) { locked_push<std::mutex>(tape, n, times); }
void mutex_extend(void *tape, long n, long times) { locked_extend<std::mutex>(tape, n, times); }

void *naive_new() { return locked_new<NaiveSpinlock>(); }
void naive_push(void *tape, long n, long times) { locked_push<NaiveSpinlock>(tape, n, times); }
void naive_extend(void *tape, long n, long times) { locked_extend<NaiveSpinlock>(tape, n, times); }

double now_ns() { return now(); }

void *ideal_new() {
    auto *c = static_cast<Cursor *>(std::malloc(sizeof(Cursor)));
    Slab *slab = new_slab(nullptr);
    enter(c, slab, slab->data);
    return c;
}

void ideal(void *cursor, long n, double *out) {
    auto *c = static_cast<Cursor *>(cursor);
    double sum = 0, start = now();
    for (long i = 0; i < n; i++) {
        if (__builtin_expect(c->cur == c->end, 0)) grow(c);
        *reinterpret_cast<double *>(c->cur) = static_cast<double>(i);
        c->cur += sizeof(double);
    }
    double middle = now();
    for (long i = 0; i < n; i++) {
        if (__builtin_expect(c->cur == c->begin, 0)) shrink(c);
        c->cur -= sizeof(double);
        sum += *reinterpret_cast<double *>(c->cur);
    }
    double end = now();
    out[0] = (middle - start) / n;
    out[1] = (end - middle) / n;
    out[2] = sum;
}

void array(double *data, long n, double *out) {
    double sum = 0, start = now();
    for (long i = 0; i < n; i++) data[i] = static_cast<double>(i);
    __asm__ __volatile__("" ::"r"(data) : "memory");
    double middle = now();
    for (long i = n - 1; i >= 0; i--) sum += data[i];
    double end = now();
    out[0] = (middle - start) / n;
    out[1] = (end - middle) / n;
    out[2] = sum;
}

void vector(long n, double *out) {
    double sum = 0, start = now();
    std::vector<double> v;
    for (long i = 0; i < n; i++) v.push_back(static_cast<double>(i));
    double middle = now();
    while (!v.empty()) {
        sum += v.back();
        v.pop_back();
    }
    double end = now();
    out[0] = (middle - start) / n;
    out[1] = (end - middle) / n;
    out[2] = sum;
}

// Whole lives: from nothing through n pushes (and, if asked, n pops) to nothing; nanoseconds a life.
double vector_life(long n, long lives, int pops) {
    double sum = 0, start = now();
    for (long k = 0; k < lives; k++) {
        std::vector<double> v;
        for (long i = 0; i < n; i++) v.push_back(static_cast<double>(i));
        __asm__ __volatile__("" ::"r"(v.data()) : "memory");
        while (pops && !v.empty()) {
            sum += v.back();
            v.pop_back();
        }
    }
    __asm__ __volatile__("" ::"x"(sum));
    return (now() - start) / lives;
}

// The adjoint of Lorenz-63 by hand, three values a step on a std::vector (see benchmarks/lorenz.py).
void lorenz_vector(double x, double y, double z, double sigma, double rho, double beta, double dt, long steps, double *out) {
    std::vector<double> tape;
    for (long i = 0; i < steps; i++) {
        tape.push_back(x);
        tape.push_back(y);
        tape.push_back(z);
        double dx = sigma * (y - x), dy = x * (rho - z) - y, dz = x * y - beta * z;
        x += dt * dx;
        y += dt * dy;
        z += dt * dz;
    }
    auto pop = [&tape] {
        double value = tape.back();
        tape.pop_back();
        return value;
    };
    double xb = 1, yb = 1, zb = 1, sb = 0, rb = 0, bb = 0;
    for (long i = 0; i < steps; i++) {
        z = pop();
        y = pop();
        x = pop();
        double dxb = dt * xb, dyb = dt * yb, dzb = dt * zb;
        sb += (y - x) * dxb;
        rb += x * dyb;
        bb -= z * dzb;
        xb += (rho - z) * dyb + y * dzb - sigma * dxb;
        yb += sigma * dxb - dyb + x * dzb;
        zb += -x * dyb - beta * dzb;
    }
    double adjoint[] = {xb, yb, zb, sb, rb, bb};
    for (int k = 0; k < 6; k++) out[k] = adjoint[k];
}
}
