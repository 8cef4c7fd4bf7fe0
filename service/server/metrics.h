// Metrics in Prometheus's text format. A loop counts in relaxed atomics that
// only it writes; a scrape reads them from any thread, so counting costs a load
// and a store. Samples of the same name and labels (one per loop) are added up.
#ifndef RINGPLANE_SERVICE_SERVER_METRICS_H_
#define RINGPLANE_SERVICE_SERVER_METRICS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/types/span.h"

namespace server {

// Grows only. One thread adds; any thread reads.
class Counter {
 public:
  void Add(uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n,
                 std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// One thread changes it; any thread reads.
class Gauge {
 public:
  void Set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void Add(int64_t n) { Set(value() + n); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// Durations in seconds, in buckets from 100 us to 10 s. One thread observes;
// any thread reads.
class LatencyHistogram {
 public:
  static constexpr double kBounds[] = {
      0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
      0.05,   0.1,     0.25,   0.5,   1,      2.5,   5,    10};
  static constexpr size_t kBuckets = std::size(kBounds) + 1;

  void ObserveNanos(int64_t nanos);
  uint64_t bucket(size_t i) const { return buckets_[i].value(); }
  double sum() const { return static_cast<double>(nanos_.value()) * 1e-9; }
  uint64_t count() const;

 private:
  Counter buckets_[kBuckets];
  Counter nanos_;
};

using Label = std::pair<std::string_view, std::string_view>;
// {{"method", path}, {"code", "ok"}}; copied where kept.
using Labels = absl::Span<const Label>;

// What a collector writes its samples to, during one scrape.
class MetricsWriter {
 public:
  void Counter(std::string_view name, std::string_view help, Labels labels,
               double value);
  void Gauge(std::string_view name, std::string_view help, Labels labels,
             double value);
  // `counts[i]` observations were at most `bounds[i]` and above the bound
  // before; the last of `counts` has those above every bound.
  // REQUIRES: counts.size() == bounds.size() + 1.
  void Histogram(std::string_view name, std::string_view help, Labels labels,
                 std::span<const double> bounds,
                 std::span<const uint64_t> counts, double sum);
  void Histogram(std::string_view name, std::string_view help, Labels labels,
                 const LatencyHistogram& histogram);

  // All families in order of their names.
  std::string Text() const;

 private:
  struct Buckets {
    std::vector<double> bounds;
    std::vector<uint64_t> counts;
    double sum = 0;
  };
  struct Family {
    std::string help;
    std::string_view type;
    std::map<std::string, double> samples;  // by formatted labels
    std::map<std::string, Buckets> histograms;
  };
  Family& FamilyOf(std::string_view name, std::string_view help,
                   std::string_view type);
  std::map<std::string, Family, std::less<>> families_;
};

// Every metric of a process. Thread-safe.
class Registry {
 public:
  using Collector = std::function<void(MetricsWriter&)>;

  // Ends a collector when it dies: no scrape calls it afterwards.
  class Registration {
   public:
    Registration() = default;
    Registration(Registration&& other) noexcept
        : registry_(std::exchange(other.registry_, nullptr)), id_(other.id_) {}
    Registration& operator=(Registration&& other) noexcept;
    ~Registration();

   private:
    friend class Registry;
    Registration(Registry* registry, uint64_t id)
        : registry_(registry), id_(id) {}
    Registry* registry_ = nullptr;
    uint64_t id_ = 0;
  };

  // `collector` runs on the scraping thread, under the registry's lock: it
  // reads atomics and blocks on nothing.
  [[nodiscard]] Registration AddCollector(Collector collector);

  // An instrument that lives as long as the registry.
  Counter* AddCounter(std::string_view name, std::string_view help,
                      Labels labels = {});
  Gauge* AddGauge(std::string_view name, std::string_view help,
                  Labels labels = {});
  LatencyHistogram* AddHistogram(std::string_view name, std::string_view help,
                                 Labels labels = {});

  // The text of /metrics ("text/plain; version=0.0.4").
  std::string Text() const;

 private:
  template <typename Instrument, typename Emit>
  Instrument* AddOwned(std::string_view name, std::string_view help,
                       Labels labels, Emit emit);
  void Remove(uint64_t id);

  mutable std::mutex mutex_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, Collector> collectors_;
};

}  // namespace server

#endif  // RINGPLANE_SERVICE_SERVER_METRICS_H_
