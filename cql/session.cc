#include "cql/session.h"

#include "cql/internal/session_core.h"
#include "cql/internal/status_util.h"
#include "cql/internal/tablet_cache.h"
#include "ioloop/check.h"

namespace cql {
namespace {

absl::Status Check(const SessionOptions& options) {
  if (options.contact_points.empty()) {
    return absl::InvalidArgumentError("contact_points is empty");
  }
  if (options.in_flight_max == 0 ||
      options.in_flight_max > internal::StreamTable::kIdsMax) {
    return absl::InvalidArgumentError(
        internal::Cat("in_flight_max is ", options.in_flight_max,
                      "; it must be 1 to ", internal::StreamTable::kIdsMax));
  }
  if (options.in_flight_min == 0) {
    return absl::InvalidArgumentError("in_flight_min must be above zero");
  }
  if (!(options.retry_share >= 0 && options.retry_share <= 1)) {
    return absl::InvalidArgumentError("retry_share must be 0 to 1");
  }
  if (options.connect_timeout <= absl::ZeroDuration() ||
      options.request_timeout <= absl::ZeroDuration() ||
      options.heartbeat_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("timeouts must be above zero");
  }
  if (options.reconnect_min <= absl::ZeroDuration() ||
      options.reconnect_max < options.reconnect_min) {
    return absl::InvalidArgumentError(
        "reconnect_min must be above zero and not above reconnect_max");
  }
  return absl::OkStatus();
}

}  // namespace

ioloop::Task<absl::StatusOr<std::unique_ptr<Session>>> Session::Connect(
    ioloop::Loop* loop, SessionOptions options) {
  if (absl::Status checked = Check(options); !checked.ok()) co_return checked;
  auto core = std::make_unique<internal::SessionCore>(loop, std::move(options));
  absl::Status connected = co_await core->Connect();
  if (!connected.ok()) {
    co_await core->Close();
    co_return connected;
  }
  co_return std::unique_ptr<Session>(new Session(std::move(core)));
}

Session::Session(std::unique_ptr<internal::SessionCore> core)
    : core_(std::move(core)) {}

Session::~Session() {
  RINGPLANE_CHECK(core_->closing(), "a Session died without Close()");
}

ioloop::Task<absl::StatusOr<const PreparedStatement*>> Session::Prepare(
    std::string text, StatementOptions options) {
  co_return co_await core_->Prepare(std::move(text), options);
}

ioloop::Task<absl::Status> Session::AwaitSchemaAgreement(
    absl::Duration timeout) {
  co_return co_await core_->control()->AwaitSchemaAgreement(
      core_->loop()->now() + timeout);
}

ioloop::Task<void> Session::Close() { co_await core_->Close(); }

std::string Session::TabletCache() const {
  return internal::EncodeTabletCache(core_->tablets());
}

size_t Session::connections() const { return core_->connections(); }

SessionStats Session::stats() const { return core_->stats(); }

std::vector<SlowQuery> Session::slow_queries() const {
  return core_->slow_log().Get();
}

std::vector<QueryInFlight> Session::in_flight(size_t most) const {
  return core_->InFlight(most);
}

}  // namespace cql
