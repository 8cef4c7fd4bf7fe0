// Finds a method by its path, "/package.Service/Method", and tells apart a
// method that nobody implements (Unimplemented, by name) from an unknown path.
//
// Fill it before the first call; then it is read-only. `service` pointers make
// it one per loop where services are.
#ifndef RINGPLANE_SERVICE_RPC_ROUTER_H_
#define RINGPLANE_SERVICE_RPC_ROUTER_H_

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "service/rpc/service.h"

namespace rpc {

class Router {
 public:
  struct Method {
    const google::protobuf::MethodDescriptor* descriptor = nullptr;
    const google::protobuf::Message* request_prototype = nullptr;
    const google::protobuf::Message* response_prototype = nullptr;
    UnaryHandler handler = nullptr;  // nullptr: Unimplemented
    void* service = nullptr;
    uint32_t index = 0;  // dense, for metrics and message pools
    std::string path;    // "/package.Service/Method"
    // The repeated fields of the request: what a limit on keys counts.
    std::vector<const google::protobuf::FieldDescriptor*> key_fields;
  };

  Router() = default;
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // Makes every method of `service` known, as unimplemented. Methods that
  // stream stay so. Adding a service twice changes nothing.
  void AddService(const google::protobuf::ServiceDescriptor* descriptor);

  // router.Handle<&Dataplane::GetTimeline>("bsky.Service", "GetTimeline", dp);
  // REQUIRES: the method is known and its types are the handler's.
  template <auto Handler, typename Service>
  void Handle(std::string_view service_name, std::string_view method,
              Service* service) {
    using Types = HandlerOf<Handler>;
    typename Types::ServiceType* target = service;
    Register(service_name, method, Types::RequestType::descriptor(),
             Types::ResponseType::descriptor(), &Types::Call, target);
  }

  // nullptr for an unknown path. No allocation.
  const Method* Find(std::string_view path) const {
    auto it = by_path_.find(path);
    return it == by_path_.end() ? nullptr : it->second;
  }

  // Methods known; their indexes are below it.
  size_t size() const { return methods_.size(); }
  const Method& method(size_t index) const { return methods_[index]; }

 private:
  void Register(std::string_view service_name, std::string_view method,
                const google::protobuf::Descriptor* request,
                const google::protobuf::Descriptor* response,
                UnaryHandler handler, void* service);

  std::deque<Method> methods_;  // Addresses stay.
  absl::flat_hash_map<std::string_view, Method*> by_path_;
};

}  // namespace rpc

#endif  // RINGPLANE_SERVICE_RPC_ROUTER_H_
