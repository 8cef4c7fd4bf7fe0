#include "cql/internal/speculation.h"

#include <new>
#include <utility>

#include "cql/internal/session_core.h"
#include "cql/query.h"

namespace cql::internal {

int64_t Speculation::DelayNs(int64_t now_ns) const {
  if (now_ns < paused_until_ns_) return -1;
  return options_.delay > absl::ZeroDuration()
             ? absl::ToInt64Nanoseconds(options_.delay)
             : delay_ns_;
}

void Speculation::OnAnswered(int64_t took_ns) {
  latency_.Record(took_ns);
  if (++samples_ < kSamplesMin) return;
  samples_ = 0;
  delay_ns_ = latency_.PercentileNs(options_.percentile);
  // A few thousand requests are remembered.
  if (latency_.count() > 32 * kSamplesMin) latency_.Halve();
}

bool Speculation::OnSent(int64_t now_ns) {
  if (++sent_ < kTrial) return false;
  const bool useless =
      static_cast<double>(std::exchange(won_, 0)) <
      options_.useful_share * static_cast<double>(std::exchange(sent_, 0));
  if (useless) paused_until_ns_ = now_ns + kPauseNs;
  return useless;
}

void ExtraRequest::Arm(SessionCore* session, Query* query, int64_t delay_ns) {
  Chunk memory = session->chunks()->Take(sizeof(ExtraRequest));
  void* const place = memory.data();
  auto* extra = new (place) ExtraRequest(session, query, std::move(memory));
  session->AddExtra(query, extra, delay_ns);
}

ExtraRequest::ExtraRequest(SessionCore* session, Query* of, Chunk memory)
    : query(of), session_(session), memory_(std::move(memory)) {}

void ExtraRequest::Drop() {
  session_->extra_delays()->Remove(this);
  if (connection() != nullptr) connection()->Forget(this);
  const Chunk memory = std::move(memory_);
  this->~ExtraRequest();
}

void ExtraRequest::OnAnswer(const Answer& answer) {
  query->OnExtraAnswer(this, answer);
}

void ExtraRequest::OnConnectionLost(const absl::Status& why) {
  query->OnExtraLost(why);
}

void ExtraRequest::OnDeadline() { session_->SendExtra(query, this); }

}  // namespace cql::internal
