// The store behind the service: the cluster that the flags name, or the
// embedded node on a loop of its own.
#ifndef RINGPLANE_SERVICE_APP_STORE_H_
#define RINGPLANE_SERVICE_APP_STORE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cql/session.h"
#include "ioloop/event.h"
#include "ioloop/loop.h"
#include "ioloop/task.h"
#include "service/app/options.h"

namespace app {

// Thread-safety: Open(), CreateSchema() and Close() belong to one thread that
// runs no loop: they wait.
class Store {
 public:
  // Starts the embedded node if it is wanted; else only takes the options.
  static absl::StatusOr<std::unique_ptr<Store>> Open(
      const StoreOptions& options);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Creates the keyspace and the tables that are missing. SIGINT or SIGTERM
  // meanwhile ends the process with `exit_on_signal`.
  absl::Status CreateSchema(int exit_on_signal);

  // Where sessions connect, with the keyspace.
  const cql::SessionOptions& session_options() const { return session_; }
  // Of the embedded node: "127.0.0.1:9042"; empty if there is none.
  const std::string& node_address() const { return node_address_; }

  // Stops the embedded node. REQUIRES: every session is closed.
  absl::Status Close();

 private:
  class Node;

  explicit Store(const StoreOptions& options);

  const StoreOptions options_;
  cql::SessionOptions session_;
  std::string node_address_;
  std::unique_ptr<Node> node_;
};

// Session::Connect(), tried again for `timeout` while no contact point answers.
// kCancelled once `stop` is set; nullptr: nothing stops it.
ioloop::Task<absl::StatusOr<std::unique_ptr<cql::Session>>> ConnectSession(
    ioloop::Loop* loop, cql::SessionOptions options, absl::Duration timeout,
    ioloop::Event* stop);

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_STORE_H_
