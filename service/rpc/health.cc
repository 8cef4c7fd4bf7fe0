#include "service/rpc/health.h"

#include "absl/strings/str_cat.h"

namespace rpc {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

void Health::AddTo(Router* router) {
  const google::protobuf::ServiceDescriptor* service =
      HealthCheckRequest::descriptor()->file()->FindServiceByName("Health");
  router->AddService(service);
  router->Handle<&Health::Check>("grpc.health.v1.Health", "Check", this);
}

ioloop::Task<absl::Status> Health::Check(CallContext&,
                                         const HealthCheckRequest& request,
                                         HealthCheckResponse* response) {
  bool known =
      request.service().empty() || request.service() == "grpc.health.v1.Health";
  for (size_t i = 0; i < services_->size() && !known; ++i) {
    known = services_->method(i).descriptor->service()->full_name() ==
            request.service();
  }
  if (!known) {
    co_return absl::NotFoundError(
        absl::StrCat("no service ", request.service().substr(0, 200)));
  }
  response->set_status(serving_ ? HealthCheckResponse::SERVING
                                : HealthCheckResponse::NOT_SERVING);
  co_return absl::OkStatus();
}

}  // namespace rpc
