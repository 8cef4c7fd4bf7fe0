// What a service manager is told, by the protocol of sd_notify(3).
#ifndef RINGPLANE_SERVICE_APP_SD_NOTIFY_H_
#define RINGPLANE_SERVICE_APP_SD_NOTIFY_H_

#include <string_view>

namespace app {

// Sends "READY=1", "STOPPING=1", ... to the socket in NOTIFY_SOCKET. Nothing
// without that variable; a failure is logged and otherwise of no account.
void SdNotify(std::string_view state);

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_SD_NOTIFY_H_
