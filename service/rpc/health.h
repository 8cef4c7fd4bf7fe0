// grpc.health.v1.Health for the services of a router.
#ifndef RINGPLANE_SERVICE_RPC_HEALTH_H_
#define RINGPLANE_SERVICE_RPC_HEALTH_H_

#include "absl/status/status.h"
#include "ioloop/task.h"
#include "service/rpc/health.pb.h"
#include "service/rpc/router.h"
#include "service/rpc/service.h"

namespace rpc {

class Health {
 public:
  // Answers for every service that `services` knows, and for "".
  explicit Health(const Router* services) : services_(services) {}

  // Adds Check; Watch stays unimplemented, which clients take for "poll".
  void AddTo(Router* router);

  void SetServing(bool serving) { serving_ = serving; }
  bool serving() const { return serving_; }

  ioloop::Task<absl::Status> Check(
      CallContext& call, const grpc::health::v1::HealthCheckRequest& request,
      grpc::health::v1::HealthCheckResponse* response);

 private:
  const Router* services_;
  bool serving_ = true;
};

}  // namespace rpc

#endif  // RINGPLANE_SERVICE_RPC_HEALTH_H_
