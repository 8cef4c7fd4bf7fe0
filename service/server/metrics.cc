#include "service/server/metrics.h"

#include <cmath>

#include "absl/strings/str_format.h"
#include "ioloop/check.h"
#include "service/http/text.h"

namespace server {
namespace {

void AppendEscaped(std::string_view text, bool quotes, std::string* out) {
  for (char c : text) {
    if (c == '\\') {
      out->append("\\\\");
    } else if (c == '\n') {
      out->append("\\n");
    } else if (quotes && c == '"') {
      out->append("\\\"");
    } else {
      out->push_back(c);
    }
  }
}

// `a="1",b="2"`.
template <typename Range>
std::string FormatLabels(const Range& labels) {
  std::string text;
  for (const auto& [name, value] : labels) {
    if (!text.empty()) text.push_back(',');
    http::AppendTo(&text, name, "=\"");
    AppendEscaped(value, true, &text);
    text.push_back('"');
  }
  return text;
}

void AppendNumber(double value, std::string* out) {
  if (std::isinf(value)) {
    out->append(value > 0 ? "+Inf" : "-Inf");
  } else if (value == std::floor(value) && std::fabs(value) < 1e15) {
    http::AppendTo(out, static_cast<int64_t>(value));
  } else {
    absl::StrAppendFormat(out, "%.12g", value);
  }
}

void AppendSample(std::string_view name, std::string_view suffix,
                  std::string_view labels, double value, std::string* out) {
  http::AppendTo(out, name, suffix);
  if (!labels.empty()) http::AppendTo(out, "{", labels, "}");
  out->push_back(' ');
  AppendNumber(value, out);
  out->push_back('\n');
}

}  // namespace

void LatencyHistogram::ObserveNanos(int64_t nanos) {
  if (nanos < 0) nanos = 0;
  double seconds = static_cast<double>(nanos) * 1e-9;
  size_t i = 0;
  while (i < std::size(kBounds) && seconds > kBounds[i]) ++i;
  buckets_[i].Add();
  nanos_.Add(static_cast<uint64_t>(nanos));
}

uint64_t LatencyHistogram::count() const {
  uint64_t total = 0;
  for (const class Counter& bucket : buckets_) total += bucket.value();
  return total;
}

MetricsWriter::Family& MetricsWriter::FamilyOf(std::string_view name,
                                               std::string_view help,
                                               std::string_view type) {
  auto it = families_.find(name);
  if (it == families_.end()) {
    it = families_.emplace(std::string(name), Family()).first;
    it->second.help = std::string(help);
    it->second.type = type;
  }
  return it->second;
}

void MetricsWriter::Counter(std::string_view name, std::string_view help,
                            Labels labels, double value) {
  FamilyOf(name, help, "counter").samples[FormatLabels(labels)] += value;
}

void MetricsWriter::Gauge(std::string_view name, std::string_view help,
                          Labels labels, double value) {
  FamilyOf(name, help, "gauge").samples[FormatLabels(labels)] += value;
}

void MetricsWriter::Histogram(std::string_view name, std::string_view help,
                              Labels labels, std::span<const double> bounds,
                              std::span<const uint64_t> counts, double sum) {
  RINGPLANE_CHECK(counts.size() == bounds.size() + 1, name);
  Buckets& buckets =
      FamilyOf(name, help, "histogram").histograms[FormatLabels(labels)];
  if (buckets.counts.empty()) {
    buckets.bounds.assign(bounds.begin(), bounds.end());
    buckets.counts.resize(counts.size());
  }
  RINGPLANE_CHECK(buckets.counts.size() == counts.size(), name);
  for (size_t i = 0; i < counts.size(); ++i) buckets.counts[i] += counts[i];
  buckets.sum += sum;
}

void MetricsWriter::Histogram(std::string_view name, std::string_view help,
                              Labels labels,
                              const LatencyHistogram& histogram) {
  uint64_t counts[LatencyHistogram::kBuckets];
  for (size_t i = 0; i < LatencyHistogram::kBuckets; ++i) {
    counts[i] = histogram.bucket(i);
  }
  Histogram(name, help, labels, LatencyHistogram::kBounds, counts,
            histogram.sum());
}

std::string MetricsWriter::Text() const {
  std::string out;
  for (const auto& [name, family] : families_) {
    http::AppendTo(&out, "# HELP ", name, " ");
    AppendEscaped(family.help, false, &out);
    http::AppendTo(&out, "\n# TYPE ", name, " ", family.type, "\n");
    for (const auto& [labels, value] : family.samples) {
      AppendSample(name, "", labels, value, &out);
    }
    for (const auto& [labels, buckets] : family.histograms) {
      uint64_t total = 0;
      for (size_t i = 0; i < buckets.counts.size(); ++i) {
        total += buckets.counts[i];
        std::string bucket_labels = labels;
        if (!bucket_labels.empty()) bucket_labels.push_back(',');
        bucket_labels.append("le=\"");
        AppendNumber(i < buckets.bounds.size() ? buckets.bounds[i] : INFINITY,
                     &bucket_labels);
        bucket_labels.push_back('"');
        AppendSample(name, "_bucket", bucket_labels, static_cast<double>(total),
                     &out);
      }
      AppendSample(name, "_sum", labels, buckets.sum, &out);
      AppendSample(name, "_count", labels, static_cast<double>(total), &out);
    }
  }
  return out;
}

Registry::Registration& Registry::Registration::operator=(
    Registration&& other) noexcept {
  if (this != &other) {
    if (registry_ != nullptr) registry_->Remove(id_);
    registry_ = std::exchange(other.registry_, nullptr);
    id_ = other.id_;
  }
  return *this;
}

Registry::Registration::~Registration() {
  if (registry_ != nullptr) registry_->Remove(id_);
}

Registry::Registration Registry::AddCollector(Collector collector) {
  std::lock_guard<std::mutex> lock(mutex_);
  uint64_t id = next_id_++;
  collectors_.emplace(id, std::move(collector));
  return Registration(this, id);
}

void Registry::Remove(uint64_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  collectors_.erase(id);
}

std::string Registry::Text() const {
  MetricsWriter writer;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [id, collector] : collectors_) collector(writer);
  }
  return writer.Text();
}

namespace {

// What a registry keeps of an instrument: labels outlive the call that named
// them.
template <typename Instrument>
struct Owned {
  std::string name, help;
  std::vector<std::pair<std::string, std::string>> label_texts;
  std::vector<Label> labels;  // views of label_texts
  Instrument instrument;
};

}  // namespace

template <typename Instrument, typename Emit>
Instrument* Registry::AddOwned(std::string_view name, std::string_view help,
                               Labels labels, Emit emit) {
  auto owned = std::make_shared<Owned<Instrument>>();
  owned->name = std::string(name);
  owned->help = std::string(help);
  for (const Label& label : labels) owned->label_texts.emplace_back(label);
  for (const auto& label : owned->label_texts) {
    owned->labels.emplace_back(label);
  }
  Instrument* instrument = &owned->instrument;
  std::lock_guard<std::mutex> lock(mutex_);
  collectors_.emplace(next_id_++, [owned, emit](MetricsWriter& writer) {
    emit(writer, *owned);
  });
  return instrument;
}

Counter* Registry::AddCounter(std::string_view name, std::string_view help,
                              Labels labels) {
  return AddOwned<Counter>(
      name, help, labels, [](MetricsWriter& writer, const Owned<Counter>& o) {
        writer.Counter(o.name, o.help, o.labels,
                       static_cast<double>(o.instrument.value()));
      });
}

Gauge* Registry::AddGauge(std::string_view name, std::string_view help,
                          Labels labels) {
  return AddOwned<Gauge>(
      name, help, labels, [](MetricsWriter& writer, const Owned<Gauge>& o) {
        writer.Gauge(o.name, o.help, o.labels,
                     static_cast<double>(o.instrument.value()));
      });
}

LatencyHistogram* Registry::AddHistogram(std::string_view name,
                                         std::string_view help, Labels labels) {
  return AddOwned<LatencyHistogram>(
      name, help, labels,
      [](MetricsWriter& writer, const Owned<LatencyHistogram>& o) {
        writer.Histogram(o.name, o.help, o.labels, o.instrument);
      });
}

}  // namespace server
