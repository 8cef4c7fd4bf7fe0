// The control connection: reads the topology, listens for its changes.
#ifndef RINGPLANE_CQL_CONTROL_H_
#define RINGPLANE_CQL_CONTROL_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/random/random.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cql/connection.h"
#include "cql/policy.h"
#include "cql/topology.h"
#include "ioloop/event.h"
#include "ioloop/resolver.h"
#include "ioloop/stop.h"
#include "ioloop/task.h"

namespace cql::internal {

class SessionCore;

// One connection of its own, apart from those that carry queries, to any node
// that can be reached: those with open connections first, some of the others,
// then the contact points, whose names are resolved again. Events are gathered
// for a window and answered by one reading of the topology, so a flood of them
// costs one reading a window.
class Control final : private ConnectionObserver {
 public:
  Control(ConnectionContext* context, SessionCore* session);
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  ~Control();  // REQUIRES: Close() was awaited.

  // Connects to a contact point and reads the topology once. The error names
  // each contact point with why it failed.
  ioloop::Task<absl::Status> Start();
  ioloop::Task<void> Close();

  // OK once the schema versions of all nodes are equal.
  ioloop::Task<absl::Status> AwaitSchemaAgreement(absl::Time deadline);

  // Reads the topology again, after the window.
  void Refresh();

  void Tick();
  bool connected() const { return connection_ != nullptr; }

 private:
  void OnBroken(Connection* connection, const absl::Status& why) override;
  void OnWornOut(Connection*) override {}
  void OnEvent(Connection* connection, const Answer& event) override;
  void OnRoom(Connection*, Query*) override {}

  ioloop::Task<void> Maintain();
  ioloop::Task<absl::StatusOr<std::unique_ptr<Connection>>> Open(
      ioloop::SocketAddress address);
  // Leaves `connection_` set, or says why not.
  ioloop::Task<absl::Status> ConnectTo(ioloop::SocketAddress address);
  ioloop::Task<absl::Status> ConnectToContacts();
  ioloop::Task<absl::Status> ConnectToAny();
  ioloop::Task<absl::Status> ReadTopology();
  ioloop::Task<absl::StatusOr<bool>> SchemaVersionsAgree(absl::Time deadline);
  ioloop::Task<void> Drop();

  ConnectionContext* const context_;
  SessionCore* const session_;
  ioloop::Resolver resolver_;
  std::unique_ptr<Connection> connection_;
  bool broken_ = false;
  bool closing_ = false;
  ioloop::StopSource stop_;  // Asked when closing.
  absl::Time refresh_at_ = absl::InfiniteFuture();
  Backoff backoff_;
  absl::BitGen random_;
  ioloop::Event wake_;
  ioloop::TaskGroup tasks_;
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_CONTROL_H_
