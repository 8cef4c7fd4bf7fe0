#include "service/app/options.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "gtest/gtest.h"
#include "service/app/flags.h"
#include "service/app/url.h"
#include "service/ingest/text.h"

namespace app {
namespace {

class OptionsTest : public testing::Test {
 protected:
  OptionsTest() {
    char path[] = "/tmp/options_test.XXXXXX";
    folder_ = mkdtemp(path);
    unsetenv("RINGPLANE_CQL_PASSWORD");
  }
  ~OptionsTest() override { std::filesystem::remove_all(folder_); }

  std::string Put(std::string_view text) {
    std::string path = folder_ + "/secret";
    std::ofstream(path) << text;
    return path;
  }
  template <typename Options>
  static std::string Error(const absl::StatusOr<Options>& options) {
    if (options.ok()) return "";
    EXPECT_TRUE(absl::IsInvalidArgument(options.status()));
    std::string message(options.status().message());
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message;
  }

  absl::FlagSaver saver_;
  std::string folder_;
};

// What --help promises is what the libraries do when nobody asks otherwise.
TEST_F(OptionsTest, DefaultsAreThoseOfTheLibraries) {
  absl::StatusOr<server::Options> server = GetServerOptions();
  ASSERT_TRUE(server.ok()) << server.status();
  const server::Options expected;
  EXPECT_EQ(server->connections_max, expected.connections_max);
  EXPECT_EQ(server->streams_per_connection_max,
            expected.streams_per_connection_max);
  EXPECT_EQ(server->calls_in_flight_max, expected.calls_in_flight_max);
  EXPECT_EQ(server->header_bytes_max, expected.header_bytes_max);
  EXPECT_EQ(server->message_in_bytes_max, expected.message_in_bytes_max);
  EXPECT_EQ(server->message_out_bytes_max, expected.message_out_bytes_max);
  EXPECT_EQ(server->keys_per_request_max, expected.keys_per_request_max);
  EXPECT_EQ(server->idle_timeout, expected.idle_timeout);
  EXPECT_EQ(server->body_timeout, expected.body_timeout);
  EXPECT_EQ(server->default_deadline, expected.default_deadline);
  EXPECT_EQ(server->drain_timeout, expected.drain_timeout);

  absl::StatusOr<dataplane::Options> dataplane = GetDataplaneOptions();
  ASSERT_TRUE(dataplane.ok()) << dataplane.status();
  const dataplane::Options bounds;
  EXPECT_EQ(dataplane->keys_max, bounds.keys_max);
  EXPECT_EQ(dataplane->queries_in_flight, bounds.queries_in_flight);
  EXPECT_EQ(dataplane->page_items_max, bounds.page_items_max);
  EXPECT_EQ(dataplane->thread_ancestors_max, bounds.thread_ancestors_max);
  EXPECT_EQ(dataplane->thread_levels_max, bounds.thread_levels_max);
  EXPECT_EQ(dataplane->thread_replies_max, bounds.thread_replies_max);
  EXPECT_EQ(dataplane->op_replies_max, bounds.op_replies_max);
  EXPECT_EQ(dataplane->lists_per_actor_max, bounds.lists_per_actor_max);
  EXPECT_EQ(dataplane->relations_max, bounds.relations_max);
  EXPECT_EQ(dataplane->labels_per_subject_max, bounds.labels_per_subject_max);
  EXPECT_EQ(dataplane->known_followers_scan_max,
            bounds.known_followers_scan_max);
  EXPECT_EQ(dataplane->unread_count_max, bounds.unread_count_max);

  absl::StatusOr<ingest::IndexerOptions> indexer = GetIndexerOptions();
  ASSERT_TRUE(indexer.ok()) << indexer.status();
  EXPECT_EQ(indexer->timeline_rows, ingest::IndexerOptions().timeline_rows);
  EXPECT_EQ(indexer->list_bucket_rows,
            ingest::IndexerOptions().list_bucket_rows);
  EXPECT_EQ(indexer->tombstone_ttl, ingest::IndexerOptions().tombstone_ttl);

  absl::StatusOr<StoreOptions> store = GetStoreOptions();
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_TRUE(store->embedded());
  EXPECT_EQ(store->session.in_flight_max, cql::SessionOptions().in_flight_max);
  EXPECT_EQ(store->session.in_flight_min, cql::SessionOptions().in_flight_min);
  EXPECT_EQ(store->session.frame_bytes_max,
            cql::SessionOptions().frame_bytes_max);

  absl::StatusOr<ioloop::LoopGroup::Options> loops = GetLoopGroupOptions();
  ASSERT_TRUE(loops.ok()) << loops.status();
  EXPECT_EQ(loops->loop.cq_entries, ioloop::Loop::Options().cq_entries);
  EXPECT_EQ(loops->loop.buffer_count, ioloop::Loop::Options().buffer_count);
  EXPECT_EQ(loops->loop.incremental_buffers,
            ioloop::Loop::Options().incremental_buffers);
  EXPECT_EQ(loops->loop.backend, ioloop::Loop::Options().backend);
  EXPECT_EQ(loops->loop.epoll_batch, ioloop::Loop::Options().epoll_batch);
  EXPECT_EQ(loops->loop.latency_budget, ioloop::Loop::Options().latency_budget);
  EXPECT_EQ(loops->loop.busy_poll, ioloop::Loop::Options().busy_poll);
  EXPECT_EQ(loops->loop.stall_threshold,
            ioloop::Loop::Options().stall_threshold);

  EXPECT_EQ(*GetRedisOptions(), std::nullopt);
  EXPECT_TRUE(GetListenOptions().ok());
  EXPECT_TRUE(GetIngestOptions().ok());
  EXPECT_TRUE(GetGenerateOptions().ok());
  EXPECT_TRUE(GetSchedulerOptions().ok());
}

TEST_F(OptionsTest, NamesTheStoresFlagThatIsWrong) {
  absl::SetFlag(&FLAGS_cql, {"10.0.0.1:9042", "10.0.0.2"});
  EXPECT_EQ(Error(GetStoreOptions()).substr(0, 16), "--cql=10.0.0.2: ");
  absl::SetFlag(&FLAGS_cql, {"10.0.0.1:9042"});
  EXPECT_EQ(Error(GetStoreOptions()), "");
  absl::SetFlag(&FLAGS_read_consistency, "SOME");
  EXPECT_EQ(Error(GetStoreOptions()).substr(0, 25),
            "--read_consistency=SOME: ");
  absl::SetFlag(&FLAGS_read_consistency, "one");
  absl::SetFlag(&FLAGS_keyspace, "Bad-name");
  EXPECT_EQ(Error(GetStoreOptions()).substr(0, 21), "--keyspace=Bad-name: ");
  absl::SetFlag(&FLAGS_keyspace, "good");
  absl::SetFlag(&FLAGS_cql_in_flight_max, 40000);
  EXPECT_EQ(Error(GetStoreOptions()),
            "--cql_in_flight_max=40000: not between 1 and 32768");
  absl::SetFlag(&FLAGS_cql_in_flight_max, 100);
  absl::SetFlag(&FLAGS_cql_request_timeout, absl::ZeroDuration());
  EXPECT_EQ(Error(GetStoreOptions()),
            "--cql_request_timeout=0: not between 1ms and 24h");
  absl::SetFlag(&FLAGS_cql_request_timeout, absl::Seconds(1));
  absl::SetFlag(&FLAGS_replication, "3");
  EXPECT_EQ(Error(GetStoreOptions()), "--replication=3: not a CQL map: {...}");
}

TEST_F(OptionsTest, LoopsWaitPollAndAreWatchedAsAsked) {
  absl::SetFlag(&FLAGS_latency_budget, absl::Microseconds(200));
  absl::SetFlag(&FLAGS_busy_poll, absl::Microseconds(50));
  absl::SetFlag(&FLAGS_stall_threshold, absl::Milliseconds(25));
  const absl::StatusOr<ioloop::LoopGroup::Options> loops =
      GetLoopGroupOptions();
  ASSERT_TRUE(loops.ok()) << loops.status();
  EXPECT_EQ(loops->loop.latency_budget, absl::Microseconds(200));
  EXPECT_EQ(loops->loop.busy_poll, absl::Microseconds(50));
  EXPECT_EQ(loops->loop.stall_threshold, absl::Milliseconds(25));
  // What serves nobody may block.
  EXPECT_EQ(GetIngestOptions()->loop.stall_threshold, absl::ZeroDuration());
  EXPECT_EQ(GetStoreOptions()->loop.stall_threshold, absl::ZeroDuration());

  absl::SetFlag(&FLAGS_busy_poll, absl::Seconds(2));
  EXPECT_EQ(Error(GetLoopGroupOptions()),
            "--busy_poll=2s: not between 0 and 1s");
  absl::SetFlag(&FLAGS_latency_budget, absl::Seconds(-1));
  EXPECT_EQ(Error(GetLoopGroupOptions()),
            "--latency_budget=-1s: not between 0 and 1s");
}

TEST_F(OptionsTest, TlsToTheStoreIsWholeOrNot) {
  EXPECT_EQ(GetStoreOptions()->session.tls, nullptr);
  absl::SetFlag(&FLAGS_cql_tls_roots, "roots.pem");
  EXPECT_EQ(Error(GetStoreOptions()),
            "--cql_tls_roots=roots.pem: needs --cql_tls");
  absl::SetFlag(&FLAGS_cql_tls, true);
  EXPECT_EQ(Error(GetStoreOptions()),
            "--cql_tls_roots=roots.pem: No such file or directory");
  absl::SetFlag(&FLAGS_cql_tls_roots, Put("no certificate"));
  EXPECT_EQ(Error(GetStoreOptions()).substr(0, 16), "--cql_tls=true: ");
  absl::SetFlag(&FLAGS_cql_tls_roots, "");
  EXPECT_NE(GetStoreOptions()->session.tls, nullptr);
  absl::SetFlag(&FLAGS_cql_tls_certificate, "client.pem");
  EXPECT_EQ(Error(GetStoreOptions()).substr(0, 15), "--cql_tls_key=:");
  absl::SetFlag(&FLAGS_cql_tls_key, "client.key");
  EXPECT_EQ(Error(GetStoreOptions()).substr(0, 33),
            "--cql_tls_certificate=client.pem:");
}

TEST_F(OptionsTest, TheStoreIsNotStormed) {
  absl::SetFlag(&FLAGS_cql_setup_per_second, 0);
  EXPECT_EQ(Error(GetStoreOptions()),
            "--cql_setup_per_second=0: not between 1 and 1000000");
  absl::SetFlag(&FLAGS_cql_setup_per_second, 10);
  EXPECT_NE(GetStoreOptions()->session.governor, nullptr);
}

// What cannot be read is learned anew.
TEST_F(OptionsTest, ATabletCacheMayBeMissing) {
  absl::SetFlag(&FLAGS_cql_tablet_cache, folder_ + "/nothing");
  EXPECT_EQ(GetStoreOptions()->session.tablet_cache, "");
  absl::SetFlag(&FLAGS_cql_tablet_cache, Put("kept"));
  EXPECT_EQ(GetStoreOptions()->session.tablet_cache, "kept");
}

// Whatever loop a command makes is on what was asked for.
TEST_F(OptionsTest, TheBackendIsEveryLoops) {
  absl::SetFlag(&FLAGS_io_backend, "epoll");
  absl::SetFlag(&FLAGS_epoll_batch, 77);
  for (const ioloop::Loop::Options& loop :
       {GetLoopGroupOptions()->loop, GetStoreOptions()->loop,
        GetIngestOptions()->loop, *GetBackendOptions()}) {
    EXPECT_EQ(loop.backend, ioloop::BackendKind::kEpoll);
    EXPECT_EQ(loop.epoll_batch, 77u);
  }
  absl::SetFlag(&FLAGS_epoll_batch, 65537);
  EXPECT_EQ(Error(GetBackendOptions()),
            "--epoll_batch=65537: not between 1 and 65536");
  absl::SetFlag(&FLAGS_io_backend, "kqueue");
  EXPECT_EQ(Error(GetLoopGroupOptions()),
            "--io_backend=kqueue: not auto, uring or epoll");
}

TEST_F(OptionsTest, PasswordComesFromAFileOrTheEnvironment) {
  absl::SetFlag(&FLAGS_cql_username, "bsky");
  setenv("RINGPLANE_CQL_PASSWORD", "from environment", 1);
  EXPECT_EQ(GetStoreOptions()->session.password, "from environment");
  absl::SetFlag(&FLAGS_cql_password_file, Put("from file\n"));
  EXPECT_EQ(GetStoreOptions()->session.password, "from file");
  absl::SetFlag(&FLAGS_cql_password_file, Put("\n"));
  EXPECT_NE(Error(GetStoreOptions()).find("is empty"), std::string::npos);
  absl::SetFlag(&FLAGS_cql_password_file, Put(std::string(5000, 'x')));
  EXPECT_NE(Error(GetStoreOptions()).find("too long"), std::string::npos);
  absl::SetFlag(&FLAGS_cql_password_file, folder_ + "/none");
  EXPECT_NE(Error(GetStoreOptions()).find("No such file"), std::string::npos);
  absl::SetFlag(&FLAGS_cql_password_file, Put("x"));
  absl::SetFlag(&FLAGS_cql_username, "");
  EXPECT_NE(Error(GetStoreOptions()).find("no --cql_username"),
            std::string::npos);
  unsetenv("RINGPLANE_CQL_PASSWORD");
}

// Whoever reaches the admin port can write.
TEST_F(OptionsTest, AdminBeyondLoopbackNeedsAToken) {
  absl::SetFlag(&FLAGS_admin, "0.0.0.0:0");
  EXPECT_EQ(Error(GetListenOptions()),
            "--admin=0.0.0.0:0: not a loopback address, which needs "
            "--admin_token_file");
  absl::SetFlag(&FLAGS_admin_token_file, Put("t0ken\n"));
  ASSERT_EQ(Error(GetListenOptions()), "");
  EXPECT_EQ(GetListenOptions()->admin_token, "t0ken");
  absl::SetFlag(&FLAGS_admin, "127.0.0.1:0");
  absl::SetFlag(&FLAGS_admin_token_file, "");
  EXPECT_EQ(Error(GetListenOptions()), "");
}

TEST_F(OptionsTest, ListensOnSeveralAddresses) {
  absl::SetFlag(&FLAGS_listen, {"127.0.0.1:0", "[::1]:2510", "localhost:1"});
  absl::StatusOr<ListenOptions> options = GetListenOptions();
  ASSERT_TRUE(options.ok()) << options.status();
  ASSERT_EQ(options->listen.size(), 3u);
  EXPECT_EQ(options->listen[1].ToString(), "[::1]:2510");
  EXPECT_TRUE(options->listen[2].is_loopback());
  absl::SetFlag(&FLAGS_listen, {"2510"});
  EXPECT_EQ(Error(GetListenOptions()).substr(0, 15), "--listen=2510: ");
  absl::SetFlag(&FLAGS_listen, {"127.0.0.1:70000"});
  EXPECT_NE(Error(GetListenOptions()), "");
}

TEST_F(OptionsTest, TheEmbeddedNodeStaysOnLoopback) {
  absl::SetFlag(&FLAGS_node_listen, "0.0.0.0:9042");
  EXPECT_EQ(Error(GetStoreOptions()).substr(0, 27),
            "--node_listen=0.0.0.0:9042:");
  absl::SetFlag(&FLAGS_node_listen, "127.0.0.1:0");
  absl::SetFlag(&FLAGS_data, "");
  EXPECT_EQ(Error(GetStoreOptions()), "--data: empty");
}

TEST_F(OptionsTest, IngestNeedsAUrlThatItSpeaks) {
  for (const char* good :
       {"http://127.0.0.1:2511", "http://localhost:1/", "http://[::1]:2"}) {
    EXPECT_TRUE(HostPortOfUrl(good).ok()) << good;
  }
  EXPECT_EQ(*HostPortOfUrl("http://example.com"), "example.com:80");
  EXPECT_EQ(*HostPortOfUrl("http://[::1]:2/"), "[::1]:2");
  for (const char* bad :
       {"", "127.0.0.1:2511", "https://x:1", "http://", "http://:1",
        "http://x:1/path", "http://u@x:1", "http://x:99999", "http://x:1?y"}) {
    EXPECT_FALSE(HostPortOfUrl(bad).ok()) << bad;
  }
  absl::SetFlag(&FLAGS_to, "127.0.0.1:2511");
  EXPECT_EQ(Error(GetIngestOptions()),
            "--to=127.0.0.1:2511: not http://host:port");
  absl::SetFlag(&FLAGS_to, "http://127.0.0.1:2511");
  absl::SetFlag(&FLAGS_token, "two words");
  EXPECT_NE(Error(GetIngestOptions()), "");
  absl::SetFlag(&FLAGS_token, "");
  absl::SetFlag(&FLAGS_progress, "loud");
  EXPECT_EQ(Error(GetIngestOptions()),
            "--progress=loud: not auto, bar, lines or none");
}

TEST_F(OptionsTest, GenerateTakesTimesAsPeopleWriteThem) {
  absl::SetFlag(&FLAGS_start, "2025-03-01T00:00:00Z");
  absl::SetFlag(&FLAGS_gap, absl::Seconds(2));
  absl::StatusOr<ingest::GenerateOptions> options = GetGenerateOptions();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->start_us, 1740787200000000);
  EXPECT_EQ(options->gap_us, 2000000);
  absl::SetFlag(&FLAGS_start, "yesterday");
  EXPECT_NE(Error(GetGenerateOptions()).find("--start=yesterday"),
            std::string::npos);
  absl::SetFlag(&FLAGS_start, "2025-03-01T00:00:00Z");
  absl::SetFlag(&FLAGS_users, 0);
  EXPECT_EQ(Error(GetGenerateOptions()),
            "--users: not between 1 and 100000000");
}

}  // namespace
}  // namespace app
