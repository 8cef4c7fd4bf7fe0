#include "ioloop/internal/faulty_backend.h"

#include <errno.h>

#include <algorithm>
#include <utility>

namespace ioloop::internal {
namespace {

uint64_t AnyRate(Random* random) {
  constexpr uint64_t kOneIn[] = {0, 50, 10, 3};
  return kOneIn[random->Below(4)];
}

bool IsFinal(const Harvested& harvested) {
  return (harvested.completion.flags & kCompletionMore) == 0;
}

}  // namespace

FaultyBackend::FaultyBackend(uint64_t seed, const BufferPool* pool,
                             std::unique_ptr<Backend> inner)
    : ForwardingBackend(std::move(inner)),
      pool_(pool),
      random_(seed),
      shorts_(AnyRate(&random_)),
      early_ends_(AnyRate(&random_)),
      cuts_(AnyRate(&random_)),
      delays_(AnyRate(&random_)),
      late_(AnyRate(&random_)) {}

// What an operation may end with although nothing is wrong, or 0 for those that
// the kernel does not end so.
int32_t FaultyBackend::SpuriousEnd(OpKind kind) {
  switch (kind) {
    case OpKind::kReceive:
    case OpKind::kReceiveMessage: {
      constexpr int32_t kEnds[] = {-ENOBUFS, -ECANCELED, -EINTR, -EAGAIN};
      return kEnds[random_.Below(4)];
    }
    case OpKind::kAccept: {
      constexpr int32_t kEnds[] = {-ECONNABORTED, -ECANCELED, -EINTR, -EAGAIN};
      return kEnds[random_.Below(4)];
    }
    case OpKind::kSend:
    case OpKind::kSendMessage:
    case OpKind::kReadAt:
    case OpKind::kWriteAt:
    case OpKind::kSync:
      return random_.Below(2) == 0 ? -EINTR : -EAGAIN;
    case OpKind::kNop:
    case OpKind::kConnect:
    case OpKind::kPoll:
    case OpKind::kRead:
      break;
  }
  return 0;
}

void FaultyBackend::Submit(Operation* op, const Request& request) {
  Flight& flight = flights_[op];
  if (Strikes(early_ends_)) {
    const int32_t result = SpuriousEnd(request.kind);
    if (result != 0) {
      flight.ended = true;
      ++flight.held;
      held_.push_back({{op, {result, 0}}, 0});
      return;
    }
  }
  Request asked = request;
  if (Strikes(shorts_)) Shorten(&flight, &asked);
  ForwardingBackend::Submit(op, asked);
  const bool multishot = request.kind == OpKind::kReceive ||
                         request.kind == OpKind::kReceiveMessage ||
                         request.kind == OpKind::kAccept;
  if (multishot && Strikes(cuts_)) {
    flight.cut_with = SpuriousEnd(request.kind);
    late_cancels_.push_back(
        {op, static_cast<uint32_t>(random_.Below(kTurnsLateMax + 1))});
  }
}

void FaultyBackend::Shorten(Flight* flight, Request* request) {
  const auto less = [this](uint32_t length) {
    return 1 + static_cast<uint32_t>(random_.Below(length - 1));
  };
  if (request->kind == OpKind::kSend) {
    if (request->length <= 1) return;
    request->length = less(request->length);
    flight->short_send = (request->flags & kSendWaits) == 0;
    short_sends_ += flight->short_send ? 1 : 0;
  } else if (request->kind == OpKind::kReadAt ||
             request->kind == OpKind::kWriteAt) {
    flight->span = *static_cast<const FileSpan*>(request->address);
    if (flight->span.length > 1)
      flight->span.length = less(flight->span.length);
    request->address = &flight->span;
  }
}

void FaultyBackend::Cancel(Operation* op) {
  const auto found = flights_.find(op);
  // Else its last completion is out, and only not dispatched yet.
  if (found == flights_.end() || found->second.ended) return;
  found->second.asked_to_end = true;
  if (Strikes(late_)) {
    late_cancels_.push_back(
        {op, static_cast<uint32_t>(random_.Below(kTurnsLateMax + 1))});
  } else {
    ForwardingBackend::Cancel(op);
  }
}

absl::Status FaultyBackend::Turn(const Wait& wait,
                                 std::vector<Harvested>* batch) {
  const bool must_not_sleep = MustNotSleep();
  CancelLate();
  ReleaseHeld(batch);
  absl::Status status =
      ForwardingBackend::Turn(must_not_sleep ? Wait() : wait, &harvest_);
  for (const Harvested& harvested : harvest_) Take(harvested, batch);
  harvest_.clear();
  return status;
}

void FaultyBackend::Take(const Harvested& harvested,
                         std::vector<Harvested>* batch) {
  Flight& flight = flights_.at(harvested.op);
  flight.ended = IsFinal(harvested);
  if (std::exchange(flight.short_send, false)) --short_sends_;
  Harvested told = harvested;
  if (flight.ended && flight.cut_with != 0 && !flight.asked_to_end &&
      told.completion.result == -ECANCELED) {
    told.completion.result = flight.cut_with;
  }
  if (flight.held > 0 || (!pool_->incremental() && Strikes(delays_))) {
    ++flight.held;
    held_.push_back(
        {told, static_cast<uint32_t>(random_.Below(kTurnsLateMax + 1))});
  } else {
    HandOut(told, batch);
  }
}

void FaultyBackend::HandOut(const Harvested& harvested,
                            std::vector<Harvested>* batch) {
  batch->push_back(harvested);
  if (!IsFinal(harvested)) return;
  flights_.erase(harvested.op);
  std::erase_if(late_cancels_, [&](const LateCancel& cancel) {
    return cancel.op == harvested.op;
  });
}

// Those whose time has come, unless an earlier one of their operation is still
// held.
void FaultyBackend::ReleaseHeld(std::vector<Harvested>* batch) {
  size_t kept = 0;
  std::vector<Operation*> waiting;
  for (size_t i = 0; i < held_.size(); ++i) {
    Held& held = held_[i];
    Operation* const op = held.harvested.op;
    if (held.turns > 0) {
      --held.turns;
      held_[kept++] = held;
      waiting.push_back(op);
    } else if (std::find(waiting.begin(), waiting.end(), op) != waiting.end()) {
      held_[kept++] = held;
    } else {
      --flights_.at(op).held;
      HandOut(held.harvested, batch);
    }
  }
  held_.resize(kept);
}

void FaultyBackend::CancelLate() {
  std::erase_if(late_cancels_, [this](LateCancel& cancel) {
    if (cancel.turns-- > 0) return false;
    if (!flights_.at(cancel.op).ended) ForwardingBackend::Cancel(cancel.op);
    return true;
  });
}

}  // namespace ioloop::internal
