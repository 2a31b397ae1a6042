// One decoding step of a Transformer, its encoder and its output layer, for processors: seq2x's native engine.
//
// Plain C interface, no headers but the standard library's. Compiled once for the instructions of a processor (see
// library.py): vectors are as wide as the compiler's target has them, and everything else is the same code.
//
// What always holds, so that an output never depends on what is computed beside it:
//   - every number is summed in one order, whatever the number of rows, and never split over threads;
//   - sequences are masked by their length, and padding does not exist here: tokens of a batch lie side by side.
//
// Weights lie in panels: W [out, in] becomes [ceil(out / PANEL)][in][PANEL], so that one step over `in` reads PANEL
// neighbouring numbers and adds them, times one number of each of up to ROWS rows, to sums that stay in registers.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16, ROWS = 8;
#elif defined(__AVX2__)
constexpr int LANES = 8, ROWS = 6;
#else
constexpr int LANES = 4, ROWS = 4;
#endif
constexpr int64_t PANEL = 2 * LANES;
constexpr int64_t PART = 128;          // terms of a sum that are added one after the other
constexpr int64_t CACHED = 48 * 1024;  // floats that a product keeps close: half of a second-level cache
constexpr float NEVER = -std::numeric_limits<float>::infinity();

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef float Loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));  // anywhere in memory
typedef int32_t Integers __attribute__((vector_size(4 * LANES)));

inline Vector load(const float* from) { return *reinterpret_cast<const Loose*>(from); }
inline void store(float* to, Vector x) { *reinterpret_cast<Loose*>(to) = x; }
inline Vector spread(float x) { return x - Vector{}; }

inline float sum(Vector x) {
    float total = 0;
    for (int lane = 0; lane < LANES; ++lane) total += x[lane];
    return total;
}

// exp(x) to about two units in the last place (Cody & Waite's reduction, a polynomial of degree six); NaN stays NaN.
inline Vector exponential(Vector x) {
    const float low = -87.3f, high = 88.3f, magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
    x = x < low ? spread(low) : x;
    x = x > high ? spread(high) : x;
    const Vector n = (x * 1.44269504f + magic) - magic;
    const Vector r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    Vector p = spread(1.3981999507e-3f);
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    return p * (Vector)((__builtin_convertvector(n, Integers) + 127) << 23);
}

// x[i] = f(x[i]) for n numbers, by vectors; what is left over goes through a vector of its own.
template <typename F>
inline void each(float* x, int64_t n, F f) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) store(x + i, f(load(x + i)));
    if (i < n) {
        float rest[LANES] = {};
        std::memcpy(rest, x + i, (n - i) * sizeof(float));
        store(rest, f(load(rest)));
        std::memcpy(x + i, rest, (n - i) * sizeof(float));
    }
}

inline float dot(const float* a, const float* b, int64_t n) {
    Vector total = {};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) total += load(a + i) * load(b + i);
    float rest = sum(total);
    for (; i < n; ++i) rest += a[i] * b[i];
    return rest;
}

// y += scale * x
inline void add_scaled(float* y, const float* x, float scale, int64_t n) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) store(y + i, load(y + i) + scale * load(x + i));
    for (; i < n; ++i) y[i] += scale * x[i];
}

// In place: exp(x - max) / sum, over n numbers.
inline void softmax(float* x, int64_t n) {
    const float most = *std::max_element(x, x + n);
    each(x, n, [most](Vector v) { return exponential(v - most); });
    float total = 0;
    for (int64_t i = 0; i < n; ++i) total += x[i];
    const float share = 1.0f / total;
    each(x, n, [share](Vector v) { return v * share; });
}

// Memory for intermediate results, one piece per thread and purpose; it grows and is kept.
enum Purpose { STATES, NORMED, WIDE, INNER, CONTEXT, SCORES, KEYS, LOGITS, VALUES, PURPOSES };
float* room(Purpose purpose, int64_t floats) {
    static thread_local std::vector<float> pieces[PURPOSES];
    std::vector<float>& piece = pieces[purpose];
    if (static_cast<int64_t>(piece.size()) < floats) {
        piece.clear();
        piece.resize(floats);
    }
    return piece.data();
}

}  // namespace

extern "C" {

struct Linear {
    const float* weight;  // panels
    const float* bias;    // [out], filled up with zeros to whole panels
    int64_t in, out;
};
struct Norm {
    int64_t kind;  // 0 none, 1 layer, 2 root mean square, 3 a given gain and shift for each feature
    const float *gain, *shift;
    double eps;
};
struct Layer {
    Norm attention_norm, cross_norm, feedforward_norm;
    Linear qkv, out, query, kv, cross_out, inner, outer;
};
struct Stack {  // an encoder, or a decoder with its output layer
    int64_t width, heads, layers, pre, activation;  // activation: 0 ReLU, 1 GELU, 2 gated by SiLU
    const Layer* layer;
    Norm norm;
    const float* embedding;  // [symbols, width]
    const float* positions;  // [places, width] to be added, or null
    const float *cosines, *sines;  // [places, width / heads / 2], or null
    int64_t symbols, places;
    double scale;
    Linear output;
};
struct Memory {  // of B sentences
    int64_t sentences;
    const int64_t* lengths;  // [B]
    const int64_t* starts;   // [B]: where the sentence's keys and values begin, in one layer
    float* values;           // [layers][stride]
    int64_t stride;
};
struct Past {  // of rows that have consumed `consumed` symbols; K rows a sentence
    int64_t rows, beams, consumed, sentences, steps;
    const int64_t* place;     // [rows / beams]: which of the memory's sentences
    const int32_t* ancestry;  // [rows, consumed + 1]: whose slot is a row's past at each step; null where K = 1
    float* const* caches;     // one for every `steps` steps: [layers][2][sentences][steps * K][width]
};

}  // extern "C"

namespace {

// sums[r][v] += x[r] . panel, over `in`
template <int R>
inline void tile(const float* x, int64_t stride, const float* panel, int64_t in, Vector (&sums)[R][2]) {
    for (int64_t k = 0; k < in; ++k, panel += PANEL) {
        __builtin_prefetch(panel + 16 * PANEL);  // the hardware stops at the end of each page
        const Vector left = load(panel), right = load(panel + LANES);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const float factor = x[r * stride + k];
            sums[r][0] += factor * left;
            sums[r][1] += factor * right;
        }
    }
}

// In parts, whose sums are summed: the rounding error of a sum grows with the number of its terms.
template <int R, typename Put>
inline void rows_by_panel(const float* x, int64_t stride, const float* panel, int64_t in, int64_t row, Put put) {
    Vector sums[R][2] = {};
    for (int64_t k = 0; k < in; k += PART) {
        Vector part[R][2] = {};
        tile<R>(x + k, stride, panel + k * PANEL, std::min(PART, in - k), part);
        for (int r = 0; r < R; ++r)
            for (int half = 0; half < 2; ++half) sums[r][half] += part[r][half];
    }
    for (int r = 0; r < R; ++r) put(row + r, sums[r][0], sums[r][1]);
}

// Rows x panel for any number of rows; `put(row, left, right)` takes each row's PANEL sums.
template <typename Put>
inline void product(const float* x, int64_t stride, int64_t rows, const float* panel, int64_t in, Put put) {
    int64_t row = 0;
    for (; row + ROWS <= rows; row += ROWS) rows_by_panel<ROWS>(x + row * stride, stride, panel, in, row, put);
    const float* rest = x + row * stride;
    switch (rows - row) {
        case 1: rows_by_panel<1>(rest, stride, panel, in, row, put); break;
        case 2: rows_by_panel<2>(rest, stride, panel, in, row, put); break;
        case 3: rows_by_panel<3>(rest, stride, panel, in, row, put); break;
        case 4: if (ROWS > 4) rows_by_panel<4>(rest, stride, panel, in, row, put); break;
        case 5: if (ROWS > 4) rows_by_panel<5>(rest, stride, panel, in, row, put); break;
        case 6: if (ROWS > 6) rows_by_panel<6>(rest, stride, panel, in, row, put); break;
        case 7: if (ROWS > 6) rows_by_panel<7>(rest, stride, panel, in, row, put); break;
        default: break;
    }
}

// The first n of a panel's sums to memory.
inline void put_panel(float* to, Vector left, Vector right, int64_t n) {
    if (n >= PANEL) {
        store(to, left);
        store(to + LANES, right);
        return;
    }
    float whole[PANEL];
    store(whole, left);
    store(whole + LANES, right);
    std::memcpy(to, whole, n * sizeof(float));
}

inline int64_t panels(int64_t out) { return (out + PANEL - 1) / PANEL; }

// `put(row, panel, left, right)` takes the sums of every row and panel of a matrix. Panels are taken in groups that stay in
// the second-level cache; a tile of rows meets all panels of a group before the next tile comes, so that it is read, and
// what is made of it is written, in one place.
template <typename Put>
void product(const float* x, int64_t rows, const Linear& l, int threads, Put put) {
    const int64_t count = panels(l.out);
    int64_t group = std::max<int64_t>(1, CACHED / (l.in * PANEL));
    if (threads > 1) group = std::max<int64_t>(1, std::min(group, count / (2 * threads)));
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t first = 0; first < count; first += group) {
        const int64_t last = std::min(count, first + group);
        for (int64_t row = 0; row < rows; row += ROWS)
            for (int64_t p = first; p < last; ++p)
                product(x + row * l.in, l.in, std::min<int64_t>(ROWS, rows - row), l.weight + p * l.in * PANEL, l.in,
                        [&](int64_t r, Vector a, Vector b) { put(row + r, p, a, b); });
    }
}

// y = W x + b [+ y], or ReLU of it: `x` [rows, in], `y` [rows, out].
enum After { SET, RELU, ADD };
void linear(const Linear& l, const float* x, int64_t rows, float* y, After after, int threads) {
    product(x, rows, l, threads, [&](int64_t row, int64_t p, Vector a, Vector b) {
        const int64_t column = p * PANEL, n = std::min(PANEL, l.out - column);
        float* here = y + row * l.out + column;
        a += load(l.bias + column);
        b += load(l.bias + column + LANES);
        if (after == RELU) {
            a = a < 0.0f ? Vector{} : a;
            b = b < 0.0f ? Vector{} : b;
        }
        if (after == ADD && n == PANEL) {
            a += load(here);
            b += load(here + LANES);
        } else if (after == ADD) {
            float old[PANEL] = {};
            std::memcpy(old, here, n * sizeof(float));
            a += load(old);
            b += load(old + LANES);
        }
        put_panel(here, a, b, n);
    });
}

void normalise(const Norm& norm, const float* x, int64_t rows, int64_t width, float* y) {
    for (int64_t row = 0; row < rows; ++row, x += width, y += width) {
        if (norm.kind == 3) {
            for (int64_t i = 0; i < width; ++i) y[i] = x[i] * norm.gain[i] + norm.shift[i];
            continue;
        }
        float mean = 0;
        if (norm.kind == 1) {
            Vector total = {};
            int64_t i = 0;
            for (; i + LANES <= width; i += LANES) total += load(x + i);
            mean = sum(total);
            for (; i < width; ++i) mean += x[i];
            mean /= width;
            for (i = 0; i < width; ++i) y[i] = x[i] - mean;
        } else if (y != x) {
            std::copy(x, x + width, y);
        }
        const float factor = 1.0f / std::sqrt(dot(y, y, width) / width + static_cast<float>(norm.eps));
        if (norm.kind == 1)
            for (int64_t i = 0; i < width; ++i) y[i] = y[i] * factor * norm.gain[i] + norm.shift[i];
        else
            for (int64_t i = 0; i < width; ++i) y[i] = y[i] * factor * norm.gain[i];
    }
}

// E[id] * scale + P[place]; PAD (0) is read as nothing.
void embed(const Stack& s, int64_t id, int64_t place, float* x) {
    const float* vector = s.embedding + id * s.width;
    const float scale = static_cast<float>(s.scale);
    for (int64_t i = 0; i < s.width; ++i) x[i] = id == 0 ? 0.0f : vector[i] * scale;
    if (s.positions)
        for (int64_t i = 0; i < s.width; ++i) x[i] += s.positions[place * s.width + i];
}

// Rotary positions (Su et al. 2021): pairs (i, i + d/2) of each head of `x` [width] turned by the place's angles.
void turn(const Stack& s, int64_t place, float* x) {
    const int64_t half = s.width / s.heads / 2;
    const float *cosines = s.cosines + place * half, *sines = s.sines + place * half;
    for (int64_t head = 0; head < s.heads; ++head, x += 2 * half)
        for (int64_t i = 0; i < half; ++i) {
            const float left = x[i], right = x[half + i];
            x[i] = left * cosines[i] - right * sines[i];
            x[half + i] = right * cosines[i] + left * sines[i];
        }
}

// ------------------------------------------------------------------ attention

// Keys and values of one sentence and one head, as panels: K [S, d] as the weights from d to S, V as those from S to d.
inline int64_t keys_size(int64_t length, int64_t d) { return panels(length) * PANEL * d; }
inline int64_t values_size(int64_t length, int64_t d) { return panels(d) * PANEL * length; }

void pack(const float* keys, const float* values, int64_t stride, int64_t length, int64_t d, float* to) {
    std::fill(to, to + keys_size(length, d) + values_size(length, d), 0.0f);
    for (int64_t j = 0; j < length; ++j)
        for (int64_t i = 0; i < d; ++i) to[(j / PANEL * d + i) * PANEL + j % PANEL] = keys[j * stride + i];
    to += keys_size(length, d);
    for (int64_t j = 0; j < length; ++j)
        for (int64_t i = 0; i < d; ++i) to[(i / PANEL * length + j) * PANEL + i % PANEL] = values[j * stride + i];
}

// softmax(Q K^T / sqrt(d)) V of `rows` queries over one sentence and head; `shown` [rows, show] gets weights / heads added.
void attend(
    const float* queries, int64_t stride, int64_t rows, const float* packed, int64_t length, int64_t d, float* context,
    int64_t context_stride, float* shown, int64_t show, int64_t heads
) {
    const float scale = 1.0f / std::sqrt(static_cast<float>(d));
    const int64_t across = panels(length) * PANEL;
    float* scores = room(SCORES, ROWS * across);
    const float* values = packed + keys_size(length, d);
    for (int64_t first = 0; first < rows; first += ROWS) {
        const int64_t count = std::min<int64_t>(ROWS, rows - first);
        for (int64_t p = 0; p < panels(length); ++p)
            product(queries + first * stride, stride, count, packed + p * d * PANEL, d,
                    [&](int64_t row, Vector a, Vector b) {
                        store(scores + row * across + p * PANEL, a * scale);
                        store(scores + row * across + p * PANEL + LANES, b * scale);
                    });
        for (int64_t row = 0; row < count; ++row) {
            softmax(scores + row * across, length);
            if (shown) add_scaled(shown + (first + row) * show, scores + row * across, 1.0f / heads, length);
        }
        for (int64_t p = 0; p < panels(d); ++p)
            product(scores, across, count, values + p * length * PANEL, length, [&](int64_t row, Vector a, Vector b) {
                put_panel(context + (first + row) * context_stride + p * PANEL, a, b, std::min(PANEL, d - p * PANEL));
            });
    }
}

// One new position of a row looks at the slots of its own past; its key and value are there already.
void attend_past(const Stack& s, const Past& past, int64_t layer, int64_t row, const float* query, float* context) {
    const int64_t d = s.width / s.heads, length = past.consumed + 1, beam = row % past.beams;
    const int64_t sentence = past.place[row / past.beams], slots = past.steps * past.beams;
    const float scale = 1.0f / std::sqrt(static_cast<float>(d));
    const int64_t across = (length + LANES - 1) / LANES * LANES;
    float* scores = room(SCORES, s.heads * across);
    const auto slot = [&](int64_t t, int64_t which) {
        const int64_t whose = past.ancestry ? past.ancestry[row * length + t] : beam;
        const float* cache = past.caches[t / past.steps];
        const int64_t of = (layer * 2 + which) * past.sentences + sentence;
        return cache + (of * slots + t % past.steps * past.beams + whose) * s.width;
    };
    for (int64_t t = 0; t < length; ++t) {
        const float* keys = slot(t, 0);
        for (int64_t head = 0; head < s.heads; ++head)
            scores[head * across + t] = dot(query + head * d, keys + head * d, d) * scale;
    }
    for (int64_t head = 0; head < s.heads; ++head) softmax(scores + head * across, length);
    std::fill(context, context + s.width, 0.0f);
    for (int64_t t = 0; t < length; ++t) {
        const float* values = slot(t, 1);
        for (int64_t head = 0; head < s.heads; ++head)
            add_scaled(context + head * d, values + head * d, scores[head * across + t], d);
    }
}

// ------------------------------------------------------------------ layers

void activate(const Stack& s, float* x, int64_t rows, int64_t inner) {  // ReLU is done by `linear`
    if (s.activation == 1)
        for (int64_t i = 0; i < rows * inner; ++i) x[i] = 0.5f * x[i] * (1.0f + std::erf(x[i] * 0.70710678f));
    if (s.activation == 2)
        for (int64_t row = 0; row < rows; ++row) {  // [u; v] -> silu(u) v, moved together
            const float* gate = x + row * 2 * inner;
            float* to = x + row * inner;
            for (int64_t i = 0; i < inner; ++i) to[i] = gate[i] / (1.0f + std::exp(-gate[i])) * gate[inner + i];
        }
}

// x += f(norm(x)), or x = norm(x + f(x)): `f(y)` adds to x what it makes of y.
template <typename F>
void sublayer(const Stack& s, const Norm& norm, float* x, int64_t rows, F f) {
    float* y = x;
    if (s.pre) {
        y = room(NORMED, rows * s.width);
        normalise(norm, x, rows, s.width, y);
    }
    f(y);
    if (!s.pre) normalise(norm, x, rows, s.width, x);
}

void feedforward(const Stack& s, const Layer& l, float* x, int64_t rows, int threads) {
    sublayer(s, l.feedforward_norm, x, rows, [&](const float* y) {
        const int64_t most = std::max<int64_t>(ROWS, CACHED / l.inner.out / ROWS * ROWS);  // both products at once
        float* inner = room(INNER, std::min(most, rows) * l.inner.out);
        for (int64_t first = 0; first < rows; first += most) {
            const int64_t count = std::min(most, rows - first);
            linear(l.inner, y + first * s.width, count, inner, s.activation == 0 ? RELU : SET, threads);
            activate(s, inner, count, l.outer.in);
            linear(l.outer, inner, count, x + first * s.width, ADD, threads);
        }
    });
}

void finish(const Stack& s, float* x, int64_t rows) {
    if (s.norm.kind) normalise(s.norm, x, rows, s.width, x);
}

// ------------------------------------------------------------------ the output layer

struct Best {  // the c best of a row so far, best first, ties by the lower id
    float* values;
    int64_t* ids;
    int64_t c, count;
    float least() const { return count < c ? NEVER : values[c - 1]; }
    bool takes(float value) const { return count < c || value > values[c - 1]; }
    void add(float value, int64_t id) {
        int64_t at = count < c ? count++ : c - 1;
        for (; at > 0 && values[at - 1] < value; --at) {
            values[at] = values[at - 1];
            ids[at] = ids[at - 1];
        }
        values[at] = value;
        ids[at] = id;
    }
};

constexpr int64_t TOGETHER = 64;       // rows whose logits are looked at together
constexpr int64_t CHUNK = 32 * PANEL;  // symbols whose logits are

struct Mass {  // of the exponentials of numbers: sum(exp(x - most))
    float most, total;
    void add(const Mass& other) {
        if (other.most > most) {
            total = total * std::exp(most - other.most) + other.total;
            most = other.most;
        } else {
            total += other.total * std::exp(other.most - most);
        }
    }
};

// Mass of one row of a chunk, and the largest of each panel's logits.
Mass weigh(const float* logits, int64_t count, float* largest) {
    Vector most = spread(NEVER);
    for (int64_t p = 0; p < count; p += PANEL) {
        const Vector a = load(logits + p), b = load(logits + p + LANES);
        const Vector here = a > b ? a : b;
        most = here > most ? here : most;
        float top = here[0];
        for (int lane = 1; lane < LANES; ++lane) top = here[lane] > top ? here[lane] : top;
        largest[p / PANEL] = top;
    }
    float top = most[0];
    for (int lane = 1; lane < LANES; ++lane) top = most[lane] > top ? most[lane] : top;
    Vector total = {};
    for (int64_t i = 0; i < count; i += LANES) total += exponential(load(logits + i) - top);
    return {top, sum(total)};
}

struct Work {  // what `best_of` and `everything` have in common
    const Stack& s;
    const float* hidden;
    int64_t rows, chunks;
    std::vector<Mass> masses;  // [rows, chunks]

    Work(const Stack& stack, const float* states, int64_t count)
        : s(stack), hidden(states), rows(count), chunks((stack.output.out + CHUNK - 1) / CHUNK), masses(count * chunks) {}

    // Logits [rows, CHUNK] of one chunk; what lies behind the last symbol is never.
    int64_t logits(int64_t chunk, float* to) const {
        const Linear& l = s.output;
        const int64_t begin = chunk * CHUNK, count = std::min(CHUNK, l.out - begin);
        const Linear part = {l.weight + begin * l.in, l.bias + begin, l.in, count};
        product(hidden, rows, part, 1, [&](int64_t row, int64_t p, Vector a, Vector b) {
            store(to + row * CHUNK + p * PANEL, a + load(part.bias + p * PANEL));
            store(to + row * CHUNK + p * PANEL + LANES, b + load(part.bias + p * PANEL + LANES));
        });
        const int64_t whole = panels(count) * PANEL;
        for (int64_t row = 0; row < rows && whole > count; ++row)
            std::fill(to + row * CHUNK + count, to + row * CHUNK + whole, NEVER);
        return count;
    }

    // log sum exp of each row, in the order of the chunks.
    float normaliser(int64_t row) const {
        Mass mass = masses[row * chunks];
        for (int64_t chunk = 1; chunk < chunks; ++chunk) mass.add(masses[row * chunks + chunk]);
        return mass.most + std::log(mass.total);
    }
};

void best_of(
    const Stack& s, const float* hidden, int64_t rows, int64_t c, const int64_t* forbid, int64_t forbidden,
    float* values, int64_t* ids, int threads
) {
    Work work(s, hidden, rows);
    std::vector<Best> best(threads * rows);
    std::vector<float> own_values(threads * rows * c);
    std::vector<int64_t> own_ids(threads * rows * c);
    for (int64_t i = 0; i < threads * rows; ++i) best[i] = {&own_values[i * c], &own_ids[i * c], c, 0};
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int part = 0; part < threads; ++part) {
        float* logits = room(LOGITS, rows * CHUNK);
        float largest[CHUNK / PANEL];
        for (int64_t chunk = work.chunks * part / threads; chunk < work.chunks * (part + 1) / threads; ++chunk) {
            const int64_t begin = chunk * CHUNK, count = work.logits(chunk, logits);
            for (int64_t row = 0; row < rows; ++row) {
                float* here = logits + row * CHUNK;
                work.masses[row * work.chunks + chunk] = weigh(here, panels(count) * PANEL, largest);
                for (int64_t i = 0; i < forbidden; ++i) {
                    const int64_t id = forbid[row * forbidden + i] - begin;
                    if (0 <= id && id < count) here[id] = NEVER;
                }
                Best& mine = best[part * rows + row];
                for (int64_t p = 0; p < panels(count); ++p) {
                    if (!mine.takes(largest[p])) continue;
                    for (int64_t i = p * PANEL; i < std::min(count, (p + 1) * PANEL); ++i)
                        if (mine.takes(here[i])) mine.add(here[i], begin + i);
                }
            }
        }
    }
    for (int64_t row = 0; row < rows; ++row) {
        Best whole = {values + row * c, ids + row * c, c, 0};
        for (int part = 0; part < threads; ++part) {
            const Best& mine = best[part * rows + row];
            for (int64_t i = 0; i < mine.count; ++i)
                if (whole.takes(mine.values[i])) whole.add(mine.values[i], mine.ids[i]);
        }
        const float normaliser = work.normaliser(row);
        for (int64_t i = 0; i < whole.count; ++i) whole.values[i] -= normaliser;
        for (int64_t i = whole.count; i < c; ++i) {
            whole.values[i] = NEVER;
            whole.ids[i] = 0;
        }
    }
}

}  // namespace

// ------------------------------------------------------------------ what Python calls

extern "C" {

int64_t seq2x_panel() { return PANEL; }

int64_t seq2x_layout(int64_t which) {  // sizes of the structures, to be compared with the caller's
    const int64_t sizes[] = {sizeof(Linear), sizeof(Norm), sizeof(Layer), sizeof(Stack), sizeof(Memory), sizeof(Past)};
    return sizes[which];
}

// Floats that the keys and values of a sentence of this length take, in one layer.
int64_t seq2x_memory_size(int64_t length, int64_t width, int64_t heads) {
    const int64_t d = width / heads;
    return heads * (keys_size(length, d) + values_size(length, d));
}

// Read `ids` (all sentences side by side) and fill `memory` for `decoder`. Returns 0, or 1 where memory is short.
int seq2x_encode(const Stack* encoder, const Stack* decoder, const int64_t* ids, const Memory* memory, int threads) try {
    const Stack& s = *encoder;
    const int64_t width = s.width, d = width / s.heads;
    std::vector<int64_t> first(memory->sentences + 1, 0);
    for (int64_t b = 0; b < memory->sentences; ++b) first[b + 1] = first[b] + memory->lengths[b];
    const int64_t tokens = first[memory->sentences];
    float* x = room(STATES, tokens * width);
    float* wide = room(WIDE, tokens * 3 * width);
    float* context = room(CONTEXT, tokens * width);
    for (int64_t b = 0; b < memory->sentences; ++b)
        for (int64_t i = 0; i < memory->lengths[b]; ++i) embed(s, ids[first[b] + i], i, x + (first[b] + i) * width);
    for (int64_t number = 0; number < s.layers; ++number) {
        const Layer& l = s.layer[number];
        sublayer(s, l.attention_norm, x, tokens, [&](const float* y) {
            linear(l.qkv, y, tokens, wide, SET, threads);
            if (s.cosines)
                for (int64_t b = 0; b < memory->sentences; ++b)
                    for (int64_t i = 0; i < memory->lengths[b]; ++i) {
                        turn(s, i, wide + (first[b] + i) * 3 * width);
                        turn(s, i, wide + (first[b] + i) * 3 * width + width);
                    }
#pragma omp parallel for num_threads(threads) if (threads > 1)
            for (int64_t part = 0; part < memory->sentences * s.heads; ++part) {
                const int64_t b = part / s.heads, head = part % s.heads, length = memory->lengths[b];
                const float* here = wide + first[b] * 3 * width + head * d;
                float* packed = room(KEYS, keys_size(length, d) + values_size(length, d));
                pack(here + width, here + 2 * width, 3 * width, length, d, packed);
                attend(here, 3 * width, length, packed, length, d, context + first[b] * width + head * d, width,
                       nullptr, 0, 1);
            }
            linear(l.out, context, tokens, x, ADD, threads);
        });
        feedforward(s, l, x, tokens, threads);
    }
    finish(s, x, tokens);
    const int64_t heads = decoder->heads, share = decoder->width / heads;
    for (int64_t number = 0; number < decoder->layers; ++number) {
        linear(decoder->layer[number].kv, x, tokens, wide, SET, threads);
        for (int64_t b = 0; b < memory->sentences; ++b) {
            const int64_t length = memory->lengths[b];
            const int64_t size = keys_size(length, share) + values_size(length, share);
            float* to = memory->values + number * memory->stride + memory->starts[b];
            for (int64_t head = 0; head < heads; ++head) {
                const float* here = wide + first[b] * 2 * decoder->width + head * share;
                pack(here, here + decoder->width, 2 * decoder->width, length, share, to + head * size);
            }
        }
    }
    return 0;
} catch (const std::bad_alloc&) { return 1; }

// One more symbol for every row: `hidden` [rows, width]; `shown` [rows, show], zeros, gets the last layer's attention.
int seq2x_step(
    const Stack* decoder, const Memory* memory, const Past* past, const int64_t* previous, float* hidden, float* shown,
    int64_t show, int threads
) try {
    const Stack& s = *decoder;
    const int64_t width = s.width, rows = past->rows, beams = past->beams, d = width / s.heads;
    float* x = hidden;
    float* wide = room(WIDE, rows * 3 * width);
    float* context = room(CONTEXT, rows * width);
    const int64_t slots = past->steps * beams, at = past->consumed % past->steps * beams;
    float* cache = past->caches[past->consumed / past->steps];
    for (int64_t row = 0; row < rows; ++row) embed(s, previous[row], past->consumed, x + row * width);
    for (int64_t number = 0; number < s.layers; ++number) {
        const Layer& l = s.layer[number];
        sublayer(s, l.attention_norm, x, rows, [&](const float* y) {
            linear(l.qkv, y, rows, wide, SET, threads);
            for (int64_t row = 0; row < rows; ++row) {
                float* here = wide + row * 3 * width;
                if (s.cosines) {
                    turn(s, past->consumed, here);
                    turn(s, past->consumed, here + width);
                }
                for (int64_t which = 0; which < 2; ++which) {
                    const int64_t of = (number * 2 + which) * past->sentences + past->place[row / beams];
                    std::copy_n(here + (1 + which) * width, width, cache + (of * slots + at + row % beams) * width);
                }
            }
#pragma omp parallel for num_threads(threads) if (threads > 1)
            for (int64_t row = 0; row < rows; ++row)
                attend_past(s, *past, number, row, wide + row * 3 * width, context + row * width);
            linear(l.out, context, rows, x, ADD, threads);
        });
        sublayer(s, l.cross_norm, x, rows, [&](const float* y) {
            linear(l.query, y, rows, wide, SET, threads);
            float* seen = number == s.layers - 1 ? shown : nullptr;
#pragma omp parallel for num_threads(threads) if (threads > 1)
            for (int64_t sentence = 0; sentence < rows / beams; ++sentence) {
                const int64_t b = past->place[sentence], length = memory->lengths[b], row = sentence * beams;
                const int64_t size = keys_size(length, d) + values_size(length, d);
                const float* packed = memory->values + number * memory->stride + memory->starts[b];
                for (int64_t head = 0; head < s.heads; ++head)
                    attend(wide + row * width + head * d, width, beams, packed + head * size, length, d,
                           context + row * width + head * d, width, seen ? seen + row * show : nullptr, show, s.heads);
            }
            linear(l.cross_out, context, rows, x, ADD, threads);
        });
        feedforward(s, l, x, rows, threads);
    }
    finish(s, x, rows);
    return 0;
} catch (const std::bad_alloc&) { return 1; }

// The c best symbols of each row: log p `values` [rows, c] and `ids`; `forbid` [rows, forbidden] are left out, -1 is none.
int seq2x_top(
    const Stack* decoder, const float* hidden, int64_t rows, int64_t c, const int64_t* forbid, int64_t forbidden,
    float* values, int64_t* ids, int threads
) try {
    for (int64_t first = 0; first < rows; first += TOGETHER)
        best_of(*decoder, hidden + first * decoder->width, std::min(TOGETHER, rows - first), c,
                forbid + first * forbidden, forbidden, values + first * c, ids + first * c, threads);
    return 0;
} catch (const std::bad_alloc&) { return 1; }

// log p of every symbol: `to` [rows, symbols].
int seq2x_all(const Stack* decoder, const float* hidden, int64_t rows, float* to, int threads) try {
    const int64_t symbols = decoder->output.out;
    for (int64_t first = 0; first < rows; first += TOGETHER) {
        const int64_t count = std::min(TOGETHER, rows - first);
        Work work(*decoder, hidden + first * decoder->width, count);
        float* out = to + first * symbols;
#pragma omp parallel for num_threads(threads) if (threads > 1)
        for (int64_t chunk = 0; chunk < work.chunks; ++chunk) {
            float* logits = room(LOGITS, count * CHUNK);
            float largest[CHUNK / PANEL];
            const int64_t n = work.logits(chunk, logits);
            for (int64_t row = 0; row < count; ++row) {
                work.masses[row * work.chunks + chunk] = weigh(logits + row * CHUNK, panels(n) * PANEL, largest);
                std::copy_n(logits + row * CHUNK, n, out + row * symbols + chunk * CHUNK);
            }
        }
        for (int64_t row = 0; row < count; ++row) {
            const float normaliser = work.normaliser(row);
            each(out + row * symbols, symbols, [normaliser](Vector v) { return v - normaliser; });
        }
    }
    return 0;
} catch (const std::bad_alloc&) { return 1; }

}  // extern "C"
