// What a handler sees of a call, and how handlers are registered: no I/O here.
#ifndef RINGPLANE_SERVICE_RPC_SERVICE_H_
#define RINGPLANE_SERVICE_RPC_SERVICE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "ioloop/loop.h"
#include "ioloop/task.h"

namespace rpc {

// One call in progress. Lives until the handler's task has finished.
struct CallContext {
  ioloop::Loop* loop = nullptr;
  // From grpc-timeout or Connect-Timeout-Ms, never later than the server's own
  // limit. Pass it to every query.
  absl::Time deadline = absl::InfiniteFuture();
  // `x-atlantis-caller`, for metrics; empty if not sent.
  std::string_view caller;
  // Set when the client went away: a handler may stop early with kCancelled.
  bool cancelled = false;
};

// Serves one method. `request` and `response` come from a pool, already of the
// method's types, and live until the task has finished. The status crosses to
// the client unchanged: its code is gRPC's and Connect's.
//
// `service` is whatever was registered with the handler.
using UnaryHandler = ioloop::Task<absl::Status> (*)(
    void* service, CallContext& call, const google::protobuf::Message& request,
    google::protobuf::Message* response);

// Makes a UnaryHandler of
//   Task<absl::Status> Service::Method(CallContext&, const Req&, Resp*).
template <auto Method>
struct HandlerOf;

template <typename Service, typename Request, typename Response,
          ioloop::Task<absl::Status> (Service::*Method)(
              CallContext&, const Request&, Response*)>
struct HandlerOf<Method> {
  using ServiceType = Service;
  using RequestType = Request;
  using ResponseType = Response;

  static ioloop::Task<absl::Status> Call(
      void* service, CallContext& call,
      const google::protobuf::Message& request,
      google::protobuf::Message* response) {
    return (static_cast<Service*>(service)->*Method)(
        call, static_cast<const Request&>(request),
        static_cast<Response*>(response));
  }
};

}  // namespace rpc

#endif  // RINGPLANE_SERVICE_RPC_SERVICE_H_
