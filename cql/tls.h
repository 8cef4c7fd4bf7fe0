// CQL over TLS; in the library cql_tls, for programs that have OpenSSL.
//
//   ioloop::TlsContext::ClientOptions tls;
//   tls.roots_pem = ...;   // who may vouch for the nodes
//   tls.identity = ...;    // if the nodes ask clients for a certificate
//   tls.sessions_per_host_max = 64;   // connections to a node that resume
//   auto context = ioloop::TlsContext::Client(tls);
//   options.tls = cql::TlsTransport(*context);
#ifndef RINGPLANE_CQL_TLS_H_
#define RINGPLANE_CQL_TLS_H_

#include <memory>
#include <string>

#include "cql/secure_channel.h"
#include "ioloop/tls_context.h"
#include "ioloop/tls_stream.h"

namespace cql {

// For SessionOptions::tls. Every node has to show a certificate that the
// context's roots vouch for, for `server_name`, or, if that is empty, for its
// address. TLS sessions are kept by the context under that name and resumed,
// which saves a node that restarts the most of each handshake: share one
// context among loops, and let it keep as many sessions as there are
// connections. REQUIRES: the context's ClientOptions::alpn is empty.
std::shared_ptr<SecureTransport> TlsTransport(
    std::shared_ptr<ioloop::TlsContext> context, std::string server_name = "");

// A channel over a stream whose handshake is over.
std::unique_ptr<SecureChannel> TlsChannel(ioloop::TlsStream stream);

}  // namespace cql

#endif  // RINGPLANE_CQL_TLS_H_
