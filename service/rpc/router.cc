#include "service/rpc/router.h"

#include "ioloop/check.h"
#include "service/http/text.h"

namespace rpc {

void Router::AddService(const google::protobuf::ServiceDescriptor* descriptor) {
  google::protobuf::MessageFactory* factory =
      google::protobuf::MessageFactory::generated_factory();
  for (int i = 0; i < descriptor->method_count(); ++i) {
    const google::protobuf::MethodDescriptor* declared = descriptor->method(i);
    std::string path =
        http::Cat("/", descriptor->full_name(), "/", declared->name());
    if (by_path_.contains(path)) continue;
    Method& method = methods_.emplace_back();
    method.descriptor = declared;
    method.request_prototype = factory->GetPrototype(declared->input_type());
    method.response_prototype = factory->GetPrototype(declared->output_type());
    method.index = static_cast<uint32_t>(methods_.size() - 1);
    method.path = std::move(path);
    for (int field = 0; field < declared->input_type()->field_count();
         ++field) {
      if (declared->input_type()->field(field)->is_repeated()) {
        method.key_fields.push_back(declared->input_type()->field(field));
      }
    }
    by_path_.emplace(method.path, &method);
  }
}

void Router::Register(std::string_view service_name, std::string_view name,
                      const google::protobuf::Descriptor* request,
                      const google::protobuf::Descriptor* response,
                      UnaryHandler handler, void* service) {
  std::string path = http::Cat("/", service_name, "/", name);
  auto it = by_path_.find(path);
  RINGPLANE_CHECK(it != by_path_.end(), path);
  Method* method = it->second;
  RINGPLANE_CHECK(method->descriptor->input_type() == request, path);
  RINGPLANE_CHECK(method->descriptor->output_type() == response, path);
  RINGPLANE_CHECK(!method->descriptor->client_streaming() &&
                      !method->descriptor->server_streaming(),
                  path);
  method->handler = handler;
  method->service = service;
}

}  // namespace rpc
