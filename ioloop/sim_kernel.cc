#include "ioloop/sim_kernel.h"

#include <errno.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ioloop/backend_sim.h"
#include "ioloop/check.h"
#include "ioloop/internal/sim_network.h"
#include "ioloop/internal/sim_socket.h"

namespace ioloop {

using internal::SimFile;
using internal::SimNetwork;

SimKernel::SimKernel(const SimOptions& options)
    : options_(options),
      network_(std::make_unique<SimNetwork>(options_, &counts_)) {}

SimKernel::~SimKernel() {
  RINGPLANE_CHECK(backends_.empty(), "a SimKernel died before its loops");
}

absl::StatusOr<std::unique_ptr<Loop>> SimKernel::NewLoop(
    const Loop::Options& options) {
  SimBackend* made = nullptr;
  auto loop = Loop::CreateOn(options, [&](BufferPool* pool, LoopStats* stats) {
    auto backend = std::make_unique<SimBackend>(
        this, options.sq_entries, options.cq_entries, pool, stats);
    made = backend.get();
    return absl::StatusOr<std::unique_ptr<Backend>>(std::move(backend));
  });
  if (loop.ok()) made->loop = loop->get();
  return loop;
}

absl::Status SimKernel::RunUntil(absl::FunctionRef<bool()> done) {
  RINGPLANE_CHECK(!driving_, "a SimKernel is driven from one place");
  driving_ = true;
  Stir();
  absl::Status status;
  while (status.ok() && !done()) {
    if (options_.turns_max != 0 && counts_.turns >= options_.turns_max) {
      status = absl::DeadlineExceededError(
          absl::StrCat("no end after ", counts_.turns, " turns"));
      break;
    }
    std::vector<SimBackend*> round = backends_;
    for (size_t i = round.size(); i > 1; --i) {
      std::swap(round[i - 1], round[network_->random().Below(i)]);
    }
    for (SimBackend* backend : round) {
      status = backend->loop->RunOnce(absl::InfiniteDuration());
      if (!status.ok()) break;
    }
  }
  driving_ = false;
  return status;
}

void SimKernel::BeginTurn() {
  ++counts_.turns;
  // Turns take time: up to 20 µs.
  const int64_t now_ns =
      network_->now_ns() + network_->random().Between(0, 20000);
  if (network_->AdvanceTo(now_ns)) Stir();
}

SimKernel::Sleep SimKernel::SleepUntil(SimBackend* backend, int64_t until_ns) {
  backend->sleeps_until_ns = until_ns;
  int64_t wake_ns = std::min(until_ns, network_->next_event_ns());
  if (driving_) {
    backend->slept_at = stirred_;
    for (const SimBackend* other : backends_) {
      if (other->slept_at != stirred_) return Sleep::kOthersFirst;
      wake_ns = std::min(wake_ns, other->sleeps_until_ns);
    }
  }
  if (wake_ns == SimNetwork::kNever) return Sleep::kDead;
  network_->AdvanceTo(wake_ns);
  Stir();
  return Sleep::kOver;
}

std::string SimKernel::Describe() const {
  std::string text;
  for (size_t i = 0; i < backends_.size(); ++i) {
    absl::StrAppend(&text, " loop ", i, ":", backends_[i]->Describe(), ";");
  }
  return text;
}

int SimKernel::Install(SimFile* file) {
  size_t place = 0;
  // The lowest number that is free, as everywhere.
  while (place < descriptors_.size() && descriptors_[place] != nullptr) {
    ++place;
  }
  if (place >= options_.descriptors_max) {
    network_->Remove(file);
    return -EMFILE;
  }
  if (place == descriptors_.size()) descriptors_.push_back(nullptr);
  descriptors_[place] = file;
  SimNetwork::Hold(file);
  return kFirstDescriptor + static_cast<int>(place);
}

SimFile* SimKernel::Lookup(int fd) const {
  if (fd < kFirstDescriptor) return nullptr;
  const auto place = static_cast<size_t>(fd - kFirstDescriptor);
  return place < descriptors_.size() ? descriptors_[place] : nullptr;
}

internal::SimSocket* SimKernel::LookupSocket(int fd) const {
  SimFile* file = Lookup(fd);
  return file == nullptr ? nullptr : file->socket();
}

int SimKernel::Close(int fd) {
  SimFile* file = Lookup(fd);
  if (file == nullptr) return -EBADF;
  descriptors_[static_cast<size_t>(fd - kFirstDescriptor)] = nullptr;
  SimNetwork::Drop(file);
  return 0;
}

std::pair<int, int> SimKernel::OpenPair() {
  auto* a = network_->Add(
      std::make_unique<internal::SimStream>(network_.get(), AF_UNIX));
  auto* b = network_->Add(
      std::make_unique<internal::SimStream>(network_.get(), AF_UNIX));
  internal::SimStream::Join(a, b);
  const int first = Install(a);
  return {first, Install(b)};
}

int SimKernel::OpenFile(std::string bytes) {
  auto* file =
      network_->Add(std::make_unique<internal::SimData>(network_.get()));
  file->bytes = std::move(bytes);
  return Install(file);
}

std::string_view SimKernel::FileBytes(int fd) const {
  return Lookup(fd)->data()->bytes;
}

void SimKernel::ResetConnection(int fd) {
  Lookup(fd)->stream()->ResetConnection();
}

int64_t SimKernel::now_ns() const { return network_->now_ns(); }

uint64_t SimKernel::trace_hash() const { return network_->trace(); }

bool SimKernel::HasRoom() const {
  return descriptors() < options_.descriptors_max;
}

size_t SimKernel::descriptors() const {
  return descriptors_.size() -
         static_cast<size_t>(
             std::count(descriptors_.begin(), descriptors_.end(), nullptr));
}

size_t SimKernel::files() const { return network_->files(); }

}  // namespace ioloop
