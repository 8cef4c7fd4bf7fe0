// The admin listener's own part: who may use it, and its plain HTTP pages.
#ifndef RINGPLANE_SERVICE_APP_ADMIN_H_
#define RINGPLANE_SERVICE_APP_ADMIN_H_

#include <functional>
#include <string>

#include "service/app/query_page.h"
#include "service/server/metrics.h"
#include "service/server/server.h"

namespace app {

// Lets everybody ask for /healthz and /readyz, and for the rest those who send
// "Authorization: Bearer <token>"; with an empty `token`, everybody. Requests
// that a web page sends from a browser on this machine are refused: they carry
// an Origin.
server::Authorizer MakeAdminAuthorizer(std::string token);

// GET /metrics, /queries, /healthz and /readyz. `not_ready` says why the
// service does not want calls; empty: it does. `registry` and `queries` outlive
// the handler.
server::HttpHandler MakeAdminHandler(const server::Registry* registry,
                                     const QueryPage* queries,
                                     std::function<std::string()> not_ready);

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_ADMIN_H_
