// The DataStax C++ driver, from the wheel of the Python package that contains
// it: no registry has it alone. The wheel's extension exports the driver's
// whole interface and needs Python's library to be there, but is never used
// from Python here.
//
//   cpp-driver --port=P --in-flight=W --connections=N [--queries=N]
//
// The extension is `cpp-driver.so` beside the program.
//
// One I/O thread; the callback of an answer reads the row and asks again, as
// the driver's documentation does it.
#include <dlfcn.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "benchmarks/cql_client/workload.h"
#include "benchmarks/socket_scaling/measure.h"

// What is used of the driver's interface (version 2.16).
struct CassCluster;
struct CassFuture;
struct CassPrepared;
struct CassResult;
struct CassRow;
struct CassSession;
struct CassStatement;
struct CassValue;
using CassError = int;  // 0: OK
using CassBool = int;   // cass_bool_t
struct CassUuid {
  uint64_t time_and_version;
  uint64_t clock_seq_and_node;
};

#define CQL_CLIENT_CASS_FUNCTIONS(F)                                        \
  F(void, alloc_set_functions,                                              \
    (void* (*)(size_t), void* (*)(void*, size_t), void (*)(void*)))         \
  F(CassCluster*, cluster_new, ())                                          \
  F(CassError, cluster_set_contact_points, (CassCluster*, const char*))     \
  F(CassError, cluster_set_port, (CassCluster*, int))                       \
  F(CassError, cluster_set_protocol_version, (CassCluster*, int))           \
  F(CassError, cluster_set_num_threads_io, (CassCluster*, unsigned))        \
  F(CassError, cluster_set_core_connections_per_host,                       \
    (CassCluster*, unsigned))                                               \
  F(CassError, cluster_set_queue_size_io, (CassCluster*, unsigned))         \
  F(void, cluster_set_use_schema, (CassCluster*, CassBool))                 \
  F(void, cluster_set_request_timeout, (CassCluster*, unsigned))            \
  F(void, cluster_set_connect_timeout, (CassCluster*, unsigned))            \
  F(CassSession*, session_new, ())                                          \
  F(CassFuture*, session_connect, (CassSession*, const CassCluster*))       \
  F(CassFuture*, session_prepare, (CassSession*, const char*))              \
  F(CassFuture*, session_execute, (CassSession*, const CassStatement*))     \
  F(CassError, future_error_code, (CassFuture*))                            \
  F(void, future_error_message, (CassFuture*, const char**, size_t*))       \
  F(void, future_free, (CassFuture*))                                       \
  F(CassError, future_set_callback,                                         \
    (CassFuture*, void (*)(CassFuture*, void*), void*))                     \
  F(const CassResult*, future_get_result, (CassFuture*))                    \
  F(const CassPrepared*, future_get_prepared, (CassFuture*))                \
  F(CassStatement*, prepared_bind, (const CassPrepared*))                   \
  F(CassError, statement_bind_int64, (CassStatement*, size_t, int64_t))     \
  F(void, statement_free, (CassStatement*))                                 \
  F(const CassRow*, result_first_row, (const CassResult*))                  \
  F(void, result_free, (const CassResult*))                                 \
  F(const CassValue*, row_get_column, (const CassRow*, size_t))             \
  F(CassError, value_get_int32, (const CassValue*, int32_t*))               \
  F(CassError, value_get_int64, (const CassValue*, int64_t*))               \
  F(CassError, value_get_double, (const CassValue*, double*))               \
  F(CassError, value_get_bool, (const CassValue*, CassBool*))               \
  F(CassError, value_get_uuid, (const CassValue*, CassUuid*))               \
  F(CassError, value_get_string, (const CassValue*, const char**, size_t*)) \
  F(CassError, value_get_bytes, (const CassValue*, const uint8_t**, size_t*))

namespace cql_client {
namespace {

using socket_scaling::Counts;
using socket_scaling::Die;

struct Driver {
#define CQL_CLIENT_MEMBER(result, name, parameters) result(*name) parameters;
  CQL_CLIENT_CASS_FUNCTIONS(CQL_CLIENT_MEMBER)
#undef CQL_CLIENT_MEMBER
};
Driver cass;

void Load() {
  const std::string path =
      std::filesystem::read_symlink("/proc/self/exe").string() + ".so";
  // Its own libraries lie beside the file, not beside a link to it.
  std::error_code missing;
  const std::string file = std::filesystem::canonical(path, missing);
  // Functions of Python's that nobody calls are never looked for.
  if (dlopen("libpython3.11.so.1.0", RTLD_LAZY | RTLD_GLOBAL) == nullptr) {
    socket_scaling::Skip(dlerror());
  }
  void* library = dlopen(file.c_str(), RTLD_LAZY);
  if (library == nullptr) socket_scaling::Skip(dlerror());
#define CQL_CLIENT_FIND(result, name, parameters)                            \
  cass.name =                                                                \
      reinterpret_cast<result(*) parameters>(dlsym(library, "cass_" #name)); \
  if (cass.name == nullptr) socket_scaling::Skip("no cass_" #name);
  CQL_CLIENT_CASS_FUNCTIONS(CQL_CLIENT_FIND)
#undef CQL_CLIENT_FIND
  // The wheel brings an allocator, which a run that counts cannot see into.
  if (std::getenv("RINGPLANE_ALLOC_COUNT") != nullptr) {
    cass.alloc_set_functions(&malloc, &realloc, &free);
  }
}

void Check(CassFuture* future) {
  if (cass.future_error_code(future) == 0) return;
  const char* message = nullptr;
  size_t size = 0;
  cass.future_error_message(future, &message, &size);
  Die({message, size});
}

void Check(CassError error) {
  if (error != 0) Die("the driver refuses: " + std::to_string(error));
}

struct Client {
  CassSession* session = nullptr;
  const CassPrepared* select = nullptr;
  Counts counts;
  uint64_t queries = 0;  // To be answered; 0: without end.
};

// One request in flight.
struct Slot {
  Client* client;
  bool timed;
  Keys keys;
  int64_t key = 0;
  int64_t sent_ns = 0;
};

bool ReadRow(const CassResult* result, int64_t key) {
  const CassRow* row = cass.result_first_row(result);
  if (row == nullptr) return false;
  int64_t read_key = 0, created_at = 0;
  const char* text = nullptr;
  size_t size = 0;
  int32_t likes = 0;
  double score = 0;
  CassBool pinned = 0;
  CassUuid id = {};
  const uint8_t* digest = nullptr;
  const auto at = [row](size_t i) { return cass.row_get_column(row, i); };
  return cass.value_get_int64(at(0), &read_key) == 0 &&
         cass.value_get_string(at(1), &text, &size) == 0 &&
         cass.value_get_string(at(2), &text, &size) == 0 &&
         cass.value_get_string(at(3), &text, &size) == 0 &&
         cass.value_get_int64(at(4), &created_at) == 0 &&
         cass.value_get_int32(at(5), &likes) == 0 &&
         cass.value_get_double(at(6), &score) == 0 &&
         cass.value_get_bool(at(7), &pinned) == 0 &&
         cass.value_get_uuid(at(8), &id) == 0 &&
         cass.value_get_bytes(at(9), &digest, &size) == 0 && read_key == key &&
         likes == kLikes;
}

void OnAnswer(CassFuture* future, void* data);

void Ask(Slot* slot) {
  Client* client = slot->client;
  slot->key = slot->keys.Next();
  if (slot->timed) slot->sent_ns = socket_scaling::NowNs();
  CassStatement* statement = cass.prepared_bind(client->select);
  Check(cass.statement_bind_int64(statement, 0, slot->key));
  CassFuture* future = cass.session_execute(client->session, statement);
  cass.statement_free(statement);
  Check(cass.future_set_callback(future, &OnAnswer, slot));
  cass.future_free(future);
}

void OnAnswer(CassFuture* future, void* data) {
  auto* slot = static_cast<Slot*>(data);
  Client* client = slot->client;
  Check(future);
  const CassResult* result = cass.future_get_result(future);
  if (!ReadRow(result, slot->key)) Die("not the row that was asked for");
  cass.result_free(result);
  if (slot->timed) {
    client->counts.latency.Add(
        static_cast<uint64_t>(socket_scaling::NowNs() - slot->sent_ns));
  }
  client->counts.events.Add(1);
  if (client->counts.events.Get() == client->queries) _exit(EXIT_SUCCESS);
  Ask(slot);
}

void Connect(Client* client, int port, uint32_t connections) {
  CassCluster* cluster = cass.cluster_new();
  Check(cass.cluster_set_contact_points(cluster, "127.0.0.1"));
  Check(cass.cluster_set_port(cluster, port));
  Check(cass.cluster_set_protocol_version(cluster, 4));
  Check(cass.cluster_set_num_threads_io(cluster, 1));
  Check(cass.cluster_set_core_connections_per_host(cluster, connections));
  Check(cass.cluster_set_queue_size_io(cluster, 65536));
  cass.cluster_set_use_schema(cluster, 0);
  cass.cluster_set_request_timeout(cluster, 30000);
  cass.cluster_set_connect_timeout(cluster, 20000);
  client->session = cass.session_new();
  CassFuture* connected = cass.session_connect(client->session, cluster);
  Check(connected);
  cass.future_free(connected);
  CassFuture* prepared = cass.session_prepare(client->session, kSelect);
  Check(prepared);
  client->select = cass.future_get_prepared(prepared);
  cass.future_free(prepared);
}

[[noreturn]] void Run(const socket_scaling::Args& args) {
  socket_scaling::Reporter reporter;
  Load();
  static Client client;
  client.queries = static_cast<uint64_t>(args.Get("queries", 0));
  socket_scaling::Say("started");
  socket_scaling::AwaitGo();
  Connect(&client, static_cast<int>(args.Get("port", 0)),
          static_cast<uint32_t>(args.Get("connections", 1)));
  socket_scaling::Say("connected");
  socket_scaling::AwaitGo();
  reporter.Start({&client.counts});
  std::vector<Slot> slots(static_cast<size_t>(args.Get("in-flight", 1)),
                          Slot{&client, false, {}});
  for (size_t i = 0; i < slots.size(); ++i) {
    slots[i].timed = i % kTimedEvery == 0;
    slots[i].keys.Skip(i);
    Ask(&slots[i]);
  }
  for (;;) pause();
}

}  // namespace
}  // namespace cql_client

int main(int argc, char** argv) {
  cql_client::Run(socket_scaling::Args(argc, argv));
}
