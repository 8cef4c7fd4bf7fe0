// CQL text of any kind through the parser and Prepare, on a catalog with every
// kind of table; what it makes is executed with null values.

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cql/node/engine.h"

namespace {

using cql::node::Engine;
using cql::node::Result;
using cql::node::Value;

constexpr std::string_view kSchema[] = {
    "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy'}",
    "CREATE TYPE ks.u (a int, b text)",
    "CREATE TABLE ks.t (k int, c text, d bigint, s text STATIC, v int, m "
    "map<text, int>, l list<int>, e set<timeuuid>, u u, f frozen<u>, x "
    "decimal, PRIMARY KEY (k, c, d)) WITH CLUSTERING ORDER BY (c ASC, d DESC)",
    "CREATE TABLE ks.p (a int, b uuid, v blob, PRIMARY KEY ((a, b)))",
    "CREATE TABLE ks.n (k text PRIMARY KEY, c counter)"};

struct State {
  std::string folder;
  std::unique_ptr<Engine> engine;

  State() {
    char path[] = "/tmp/ringplane_fuzz_XXXXXX";
    folder = mkdtemp(path);
    cql::node::EngineOptions options;
    options.data_dir = folder;
    options.sync = cql::node::SyncMode::kProcess;
    options.limits.tables_max = 100;
    options.limits.keyspaces_max = 10;
    options.limits.user_types_max = 50;
    auto opened = Engine::Open(options);
    if (!opened.ok()) abort();
    engine = *std::move(opened);
    Result result;
    for (std::string_view text : kSchema) {
      auto statement = engine->PrepareOnce(text, "");
      if (!statement.ok() ||
          !engine->Execute(**statement, {}, {}, &result).ok()) {
        abort();
      }
    }
  }
  ~State() {
    engine.reset();
    std::error_code error;
    std::filesystem::remove_all(folder, error);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static State state;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto statement = state.engine->PrepareOnce(text, "ks");
  if (!statement.ok()) return 0;
  // The schema has to stay as the seeds expect it.
  if ((*statement)->kind() == cql::node::Statement::Kind::kSchema) return 0;
  const std::vector<Value> values((*statement)->bind_markers().size());
  cql::node::ExecuteOptions options;
  options.page_size = 10;
  Result result;
  state.engine->Execute(**statement, values, options, &result).IgnoreError();
  return 0;
}
