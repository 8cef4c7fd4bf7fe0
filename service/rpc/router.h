// Finds a method by its path, "/package.Service/Method", and tells apart a
// method that nobody implements (Unimplemented, by name) from an unknown path.
#ifndef RINGPLANE_SERVICE_RPC_ROUTER_H_
#define RINGPLANE_SERVICE_RPC_ROUTER_H_

#include <string_view>

#include "service/rpc/service.h"

namespace rpc {

class Router {
 public:
  struct Method {
    const google::protobuf::MethodDescriptor* descriptor;
    const google::protobuf::Message* request_prototype;
    const google::protobuf::Message* response_prototype;
    UnaryHandler handler;  // nullptr: Unimplemented
    void* service;
    uint32_t index;  // dense, for metrics and message pools
  };

  // Makes every method of `service` known, as unimplemented.
  void AddService(const google::protobuf::ServiceDescriptor* descriptor);

  // router.Handle<&Dataplane::GetTimeline>("bsky.Service", "GetTimeline", dp);
  // REQUIRES: the method is known and its types are the handler's.
  template <auto Handler, typename Service>
  void Handle(std::string_view service_name, std::string_view method,
              Service* service);

  // nullptr for an unknown path. No allocation.
  const Method* Find(std::string_view path) const;
};

}  // namespace rpc

#endif  // RINGPLANE_SERVICE_RPC_ROUTER_H_
