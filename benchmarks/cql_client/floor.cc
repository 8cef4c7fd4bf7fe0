// The floor: the bytes of the same requests and answers on a bare ring, without
// a protocol, values or rows.
//
//   floor --port=P --connections=N --in-flight=W
#include <errno.h>
#include <string.h>

#include <string>
#include <utility>
#include <vector>

#include "benchmarks/cql_client/fake_node.h"
#include "benchmarks/socket_scaling/measure.h"
#include "benchmarks/socket_scaling/pipeline.h"
#include "benchmarks/socket_scaling/raw_ring.h"
#include "cql/protocol/frame.h"
#include "cql/protocol/request.h"

namespace cql_client {
namespace {

using socket_scaling::Die;
using socket_scaling::Pipeline;
using socket_scaling::RawRing;
using socket_scaling::TurnBuffers;

// As the client sends it: an id, a consistency, flags, a key, a page size.
std::string Request() {
  std::string request;
  cql::protocol::Writer writer(&request);
  const size_t mark = cql::protocol::BeginFrame(
      &writer, {.opcode = cql::protocol::Opcode::kExecute});
  cql::protocol::EncodeExecuteId(&writer, std::string(16, '\0'), std::nullopt);
  cql::protocol::QueryParameters parameters;
  parameters.consistency = cql::Consistency::kLocalOne;
  parameters.skip_metadata = true;
  parameters.page_size = 5000;
  cql::protocol::BeginQueryParameters(&writer, parameters, 1);
  writer.Bytes(std::string(8, 'k'));
  cql::protocol::EndQueryParameters(&writer, parameters);
  cql::protocol::EndFrame(&writer, mark);
  writer.Finish();
  return request;
}

uint32_t AnswerBytes(const std::string& request) {
  cql::protocol::FrameReader reader(
      {.direction = cql::protocol::Direction::kRequests});
  reader.Feed(request);
  cql::protocol::Frame frame;
  if (!reader.Next(&frame)) Die("not a request");
  const FakeNode node({}, 0);
  const FakeNode::Read read = node.AsRead(frame);
  if (read.answer == nullptr) Die("not a request that the responder knows");
  return static_cast<uint32_t>(read.answer->size());
}

class Client {
 public:
  Client(const Pipeline::Options& options, uint16_t port,
         socket_scaling::Counts* counts)
      : ring_({.buffer_count = 2048, .buffer_bytes = 8192}, counts),
        pipeline_(options),
        buffers_(options.connections),
        issuer_(&pipeline_, &buffers_, counts, 1) {
    for (uint32_t i = 0; i < options.connections; ++i) {
      fds_.push_back(socket_scaling::ConnectTo(i, port));
      ring_.Receive(i, fds_[i]);
    }
  }

  [[noreturn]] void Run(uint32_t in_flight) {
    issuer_.Start(0, in_flight, 0, pipeline_.connections());
    for (;;) Turn();
  }

 private:
  // What a turn wrote is sent while the next one waits, and free after it.
  void Turn() {
    buffers_.Flush([&](uint32_t connection, std::string* bytes) {
      sending_.emplace_back(connection, std::string());
      if (!spare_.empty()) {
        sending_.back().second.swap(spare_.back());
        spare_.pop_back();
      }
      sending_.back().second.swap(*bytes);
    });
    for (const auto& [connection, bytes] : sending_) {
      ring_.Send(connection, fds_[connection], bytes.data(),
                 static_cast<uint32_t>(bytes.size()));
    }
    ring_.Turn(1, [&](const RawRing::Event& event) { OnEvent(event); });
    for (auto& [connection, bytes] : sending_) {
      bytes.clear();
      spare_.push_back(std::move(bytes));
    }
    sending_.clear();
    ring_.PublishBuffers();
    for (uint32_t connection : starved_) {
      ring_.Receive(connection, fds_[connection]);
    }
    starved_.clear();
  }

  void OnEvent(const RawRing::Event& event) {
    if (event.kind == RawRing::Kind::kSend) {
      socket_scaling::DieOfShortSend(event.result);
    }
    if (event.result == -ENOBUFS) {
      starved_.push_back(event.index);
      return;
    }
    if (event.result <= 0) Die("the responder went away");
    if (!event.more) ring_.Receive(event.index, fds_[event.index]);
    issuer_.OnBytes(event.index, event.data, static_cast<size_t>(event.result));
    ring_.ReturnBuffer(event.buffer);
  }

  RawRing ring_;
  std::vector<int> fds_;
  Pipeline pipeline_;
  TurnBuffers buffers_;
  Pipeline::Issuer<TurnBuffers> issuer_;
  std::vector<std::pair<uint32_t, std::string>> sending_;
  std::vector<std::string> spare_;
  std::vector<uint32_t> starved_;
};

[[noreturn]] void Run(const socket_scaling::Args& args) {
  socket_scaling::Reporter reporter;
  static socket_scaling::Counts counts;
  Pipeline::Options options;
  options.connections = static_cast<uint32_t>(args.Get("connections", 2));
  options.in_flight = static_cast<uint32_t>(args.Get("in-flight", 1));
  options.request = Request();
  options.message_bytes = static_cast<uint32_t>(options.request.size());
  options.answer_bytes = AnswerBytes(options.request);
  socket_scaling::Say("started");
  socket_scaling::AwaitGo();
  Client client(options, static_cast<uint16_t>(args.Get("port", 0)), &counts);
  socket_scaling::Say("connected");
  socket_scaling::AwaitGo();
  reporter.Start({&counts}, [&](socket_scaling::Reporter::Totals* totals) {
    totals->events = totals->bytes / options.answer_bytes;
  });
  client.Run(options.in_flight);
}

}  // namespace
}  // namespace cql_client

int main(int argc, char** argv) {
  cql_client::Run(socket_scaling::Args(argc, argv));
}
