// The best pairs: kernels give losses, whatever is within the threshold goes into a heap.
//
// Division is slow, so a quotient is first scored as a product with the reciprocal; that loss is close to the true one
// with a proven bound, and only what passes the widened threshold is divided. The result is the one of plain division.
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "pairs.hpp"
#include "top.hpp"

namespace nssr {
namespace bank {
namespace {

constexpr std::size_t kReciprocalBytes = 32 << 20;  // of scratch, per thread

template <class T>
struct Scratch {
    explicit Scratch(std::size_t k) : top(k) {}

    Top top;
    std::vector<char> bytes;

    T* aligned(std::size_t size) {
        if (bytes.size() < size + kPanelBytes) bytes.resize(size + kPanelBytes);
        char* at = bytes.data();
        return reinterpret_cast<T*>(at + (kPanelBytes - reinterpret_cast<std::uintptr_t>(at) % kPanelBytes) % kPanelBytes);
    }
};

template <class T>
constexpr T kLargest = std::numeric_limits<T>::max();

}  // namespace
}  // namespace bank

template <class T>
class PairSearch {
public:
    PairSearch(const Bank<T>& bank, const bank::PairSet& pairs, std::vector<bank::Operator> operators, Loss loss, std::size_t k)
        : bank_(bank),
          pairs_(pairs),
          operators_(std::move(operators)),
          kernels_(bank::kernels(bank::active_table(), T{})),
          loss_(loss),
          bound_(bank::kLargest<T>),
          scratches_(k) {
        const std::size_t rows = bank.n_rows_;
        for (const bank::Operator op : operators_) {
            opcodes_[op] = bank::opcode_of(op);
            divides_ |= op == bank::kDiv || op == bank::kFdiv;
        }
        divides_ &= loss == Loss::Sse && rows * kUnit < 0.01 && rows * bank::kPanelBytes <= bank::kReciprocalBytes;
    }

    std::vector<PairHit> run(std::size_t k, const RunOptions& options) {
        bank::for_each_unit(pairs_, kPanel, bank_.n_rows_ * bank::kPanelBytes, options,
                            [&](const bank::Unit& unit, Control& control) {
                                auto scratch = scratches_.take();
                                for (const bank::Operator op : operators_)
                                    if (op == bank::kDiv || op == bank::kFdiv) divide(unit, op, *scratch, control);
                                    else combine(unit, op, *scratch, control);
                                scratches_.give(std::move(scratch));
                            });
        return scratches_.first(k);
    }

    // The loss of one pair after the best affine fit, in f64 and two passes.
    double affine_loss(const PairHit& hit) const {
        const bank::Operator op = bank::operator_of(hit.opcode);
        const std::size_t n = bank_.n_rows_;
        const auto p = [&](std::size_t r) { return static_cast<double>(bank::apply(op, bank_.value(hit.left, r), bank_.value(hit.right, r))); };
        const auto w = [&](std::size_t r) { return bank_.weights_ ? static_cast<double>(bank_.weights_[r]) : 1.0; };
        const double shift = p(bank_.reference_);
        double mean = 0, spread = 0, shared = 0, loss = 0;
        for (std::size_t r = 0; r < n; ++r) mean += w(r) * (p(r) - shift);
        mean = mean / bank_.weight_ + shift;
        for (std::size_t r = 0; r < n; ++r) {
            spread += w(r) * (p(r) - mean) * (p(r) - mean);
            shared += w(r) * (p(r) - mean) * (bank_.exact_target_[r] - bank_.mean_);
        }
        const double ulps = bank::kConstantUlps * kUnit;
        if (spread <= ulps * ulps * bank_.weight_ * shift * shift) return bank_.total_;
        const double scale = shared / spread;
        for (std::size_t r = 0; r < n; ++r) {
            const double d = bank_.exact_target_[r] - bank_.mean_ - scale * (p(r) - mean);
            loss += w(r) * d * d;
        }
        return loss;
    }

private:
    static constexpr std::size_t kPanel = bank::kPanel<T>;
    static constexpr double kUnit = std::numeric_limits<T>::epsilon() / 2;

    // What an offer needs to know.
    struct Sink {
        PairSearch* search;
        bank::Top* top;
        bank::Operator op;
        std::size_t left, right;  // panels
    };

    T threshold(const bank::Top& top) {
        if (top.full()) bound_.lower(top.worst());
        return static_cast<T>(bound_.get());
    }

    static T offer(void* sink, unsigned lane, unsigned n_left, const T* losses) {
        const Sink& s = *static_cast<Sink*>(sink);
        T threshold = s.search->threshold(*s.top);
        for (unsigned i = 0; i < n_left * kPanel; ++i) {
            if (!(losses[i] <= threshold)) continue;
            s.search->enter(s, lane + i / kPanel, i % kPanel, losses[i]);
            threshold = s.search->threshold(*s.top);
        }
        return threshold;
    }

    // Losses come from products with reciprocals; what may be good enough is divided.
    static T offer_quotients(void* sink, unsigned lane, unsigned n_left, const T* losses) {
        const Sink& s = *static_cast<Sink*>(sink);
        T wide = s.search->widened(s.search->threshold(*s.top));
        for (unsigned i = 0; i < n_left * kPanel; ++i) {
            if (!(losses[i] <= wide)) continue;
            const unsigned l = lane + i / kPanel, r = i % kPanel;
            if (!s.search->pairs_.has(s.left * kPanel + l, s.right * kPanel + r)) continue;
            const T exact = s.search->sse(s.op, s.left, l, s.right, r), threshold = s.search->threshold(*s.top);
            if (!(exact <= threshold)) continue;
            s.search->enter(s, l, r, exact);
            wide = s.search->widened(s.search->threshold(*s.top));
        }
        return wide;
    }

    void enter(const Sink& s, unsigned left, unsigned right, T loss) {
        const std::size_t l = s.left * kPanel + left, r = s.right * kPanel + right;
        if (!pairs_.counts(s.op, l, r)) return;
        s.top->offer({static_cast<double>(loss), static_cast<std::uint32_t>(l), static_cast<std::uint32_t>(r), opcodes_[s.op]});
    }

    // A loss that no pair within `threshold` exceeds when quotients are products with reciprocals. With u half an ulp,
    // such a product is within 3 u of the quotient p, so the root of the loss grows by at most 3 u |p|, and
    // |p| <= root of the loss + |y|; each of the two sums is within (rows + 10) u of what it should be.
    T widened(T threshold) const {
        const double gamma = (bank_.n_rows_ + 10) * kUnit, e = 5 * kUnit;
        const double root = std::sqrt(threshold / (1 - gamma)) * (1 + e) + e * std::sqrt(bank_.norm_);
        const double wide = root * root * (1 + gamma) * (1 + 1e-12) + std::numeric_limits<T>::min();
        if (!(wide < bank::kLargest<T>)) return bank::kLargest<T>;
        return std::nextafter(static_cast<T>(wide), bank::kLargest<T>);
    }

    // As the kernels compute it, in their order.
    T sse(bank::Operator op, std::size_t left_panel, unsigned left, std::size_t right_panel, unsigned right) const {
        const T *a = bank_.panel(left_panel) + left, *b = bank_.panel(right_panel) + right;
        T total = 0;
        for (std::size_t row = 0; row < bank_.n_rows_;) {
            const std::size_t end = std::min(bank_.n_rows_, row + bank::kChunk);
            T sum = 0;
            for (; row < end; ++row) {
                const T d = bank::apply(op, a[row * kPanel], b[row * kPanel]) - bank_.target_[row];
                sum += bank_.weights_ ? d * d * bank_.weights_[row] : d * d;
            }
            total += sum;
        }
        return total;
    }

    bank::Scoring<T> job(const bank::Meeting& m) const {
        bank::Scoring<T> job{};
        job.left = bank_.panel(m.left);
        job.right = bank_.panel(m.right);
        job.rows = bank_.n_rows_;
        job.first = m.first;
        job.last = m.last;
        job.target = loss_ == Loss::Sse ? bank_.target_ : bank_.centred_;
        job.weights = bank_.weights_;
        job.reference = bank_.reference_;
        job.total = static_cast<T>(bank_.total_);
        job.inverse = static_cast<T>(1 / bank_.weight_);
        job.weight = static_cast<T>(bank_.weight_);
        return job;
    }

    void combine(const bank::Unit& unit, bank::Operator op, bank::Scratch<T>& scratch, Control& control) {
        const auto kernel = (loss_ == Loss::Sse ? kernels_.sse : kernels_.affine)[op][bank_.weights_ != nullptr];
        Sink sink{this, &scratch.top, op, 0, 0};
        for (sink.left = unit.left_begin; sink.left < unit.left_end; ++sink.left)
            for (sink.right = unit.right_begin; sink.right < unit.right_end; ++sink.right) {
                const bank::Meeting m = bank::meeting(pairs_, kPanel, sink.left, sink.right);
                if (m.twins && bank::commutes(op)) continue;
                bank::Scoring<T> scoring = job(m);
                scoring.offer = offer;
                scoring.sink = &sink;
                scoring.threshold = threshold(scratch.top);
                kernel(scoring);
                control.tick(bank_.n_rows_ * kPanel * kPanel);
            }
    }

    void divide(const bank::Unit& unit, bank::Operator op, bank::Scratch<T>& scratch, Control& control) {
        if (!divides_) {
            combine(unit, op, scratch, control);
            return;
        }
        const std::size_t panel = bank_.n_rows_ * kPanel;
        T* reciprocals = scratch.aligned((unit.right_end - unit.right_begin) * panel * sizeof(T));
        const T* divisors = bank_.panel(unit.right_begin);
        for (std::size_t i = 0; i < (unit.right_end - unit.right_begin) * panel; ++i)
            reciprocals[i] = op == bank::kDiv && divisors[i] == 0 ? T{0} : 1 / divisors[i];
        const auto kernel = kernels_.sse[bank::kMul][bank_.weights_ != nullptr];
        Sink sink{this, &scratch.top, op, 0, 0};
        for (sink.right = unit.right_begin; sink.right < unit.right_end; ++sink.right)
            for (sink.left = unit.left_begin; sink.left < unit.left_end; ++sink.left) {
                const bool zero_times_infinity = op == bank::kDiv && bank_.traits_[sink.right] & bank::kHasZero &&
                                                 bank_.traits_[sink.left] & bank::kNotFinite;
                if (bank_.traits_[sink.right] & bank::kAwkwardDivisor || zero_times_infinity) {
                    combine({sink.left, sink.left + 1, sink.right, sink.right + 1}, op, scratch, control);
                    continue;
                }
                bank::Scoring<T> scoring = job(bank::meeting(pairs_, kPanel, sink.left, sink.right));
                scoring.right = reciprocals + (sink.right - unit.right_begin) * panel;
                scoring.offer = offer_quotients;
                scoring.sink = &sink;
                scoring.threshold = widened(threshold(scratch.top));
                kernel(scoring);
                control.tick(bank_.n_rows_ * kPanel * kPanel);
            }
    }

    const Bank<T>& bank_;
    const bank::PairSet pairs_;
    const std::vector<bank::Operator> operators_;
    const bank::Kernels<T>& kernels_;
    const Loss loss_;
    std::uint8_t opcodes_[bank::kOperators] = {};
    bool divides_ = false;  // quotients go by reciprocals
    bank::Bound bound_;
    bank::Scratches<bank::Scratch<T>> scratches_;
};

namespace {

std::vector<bank::Operator> operators_of(const std::vector<std::uint8_t>& opcodes) {
    std::vector<bank::Operator> operators;
    for (const std::uint8_t opcode : opcodes) {
        const bank::Operator op = bank::operator_of(opcode);
        if (std::find(operators.begin(), operators.end(), op) == operators.end()) operators.push_back(op);
    }
    return operators;
}

}  // namespace

template <class T>
std::vector<PairHit> Bank<T>::best_pairs(const std::vector<std::uint8_t>& opcodes, std::size_t k, Loss loss,
                                         ColumnRange left, ColumnRange right, const RunOptions& options) const {
    bank::check_threads(options);
    bank::check_range(left, n_columns_, "left");
    bank::check_range(right, n_columns_, "right");
    if (target_ == nullptr) throw std::invalid_argument("best_pairs needs a bank with a target");
    if (not_finite_ < n_rows_)
        throw std::invalid_argument("best_pairs needs a finite target, and row " + std::to_string(not_finite_) + " is not");
    if (k < 1 || k > kMaxHits) throw std::invalid_argument("k must be from 1 to " + std::to_string(kMaxHits));
    // One pass ranks affine losses less finely than two: some more are kept, then ranked again.
    const std::size_t kept = loss == Loss::Sse ? k : 2 * k + 64;
    PairSearch<T> search(*this, {left, right}, operators_of(opcodes), loss, kept);
    std::vector<PairHit> hits = search.run(kept, options);
    if (loss == Loss::Affine) {
        for (PairHit& hit : hits) hit.loss = search.affine_loss(hit);
        std::sort(hits.begin(), hits.end());
        if (hits.size() > k) hits.resize(k);
    }
    return hits;
}

template std::vector<PairHit> Bank<float>::best_pairs(const std::vector<std::uint8_t>&, std::size_t, Loss, ColumnRange,
                                                      ColumnRange, const RunOptions&) const;
template std::vector<PairHit> Bank<double>::best_pairs(const std::vector<std::uint8_t>&, std::size_t, Loss, ColumnRange,
                                                       ColumnRange, const RunOptions&) const;

}  // namespace nssr
