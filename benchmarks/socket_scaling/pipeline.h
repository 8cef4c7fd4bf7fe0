// The client side of a protocol like CQL's, without I/O: frames of a nine byte
// header (version, flags, stream id, opcode, length of the body) and a body.
// `in_flight` requests are always under way; each answer makes room for the
// next request, which goes to a connection chosen at random.
#ifndef RINGPLANE_BENCHMARKS_SOCKET_SCALING_PIPELINE_H_
#define RINGPLANE_BENCHMARKS_SOCKET_SCALING_PIPELINE_H_

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "benchmarks/socket_scaling/measure.h"

namespace socket_scaling {

// What every thread of a client shares.
//
// `Sink` has `char* Reserve(uint32_t connection, uint32_t bytes)`, room at the
// end of what the connection will send, and `void Commit(connection, bytes)`.
class Pipeline {
 public:
  static constexpr uint32_t kHeaderBytes = 9;
  static constexpr uint32_t kInFlightMax = 32768;  // Stream ids.

  struct Options {
    uint32_t connections;
    uint32_t in_flight;
    uint32_t message_bytes;
    // Of an answer; 0: as long as a request.
    uint32_t answer_bytes = 0;
    // What each request is, but for its stream id; empty: made up.
    std::string request;
  };

  explicit Pipeline(const Options& options)
      : options_(options),
        partial_(options.connections),
        requests_(options.in_flight),
        request_(options.request) {
    if (options.answer_bytes == 0) {
      options_.answer_bytes = options.message_bytes;
    }
    if (options.message_bytes < kHeaderBytes) Die("a message has 9 bytes");
    if (options.in_flight > kInFlightMax) Die("too many requests in flight");
    if (!request_.empty()) return;
    request_.assign(options.message_bytes, 'q');
    const uint32_t body = options.message_bytes - kHeaderBytes;
    const char header[kHeaderBytes] = {4,
                                       0,
                                       0,
                                       0,
                                       0x0a,
                                       static_cast<char>(body >> 24),
                                       static_cast<char>(body >> 16),
                                       static_cast<char>(body >> 8),
                                       static_cast<char>(body)};
    memcpy(request_.data(), header, kHeaderBytes);
  }

  uint32_t connections() const { return options_.connections; }

  // One per thread.
  template <typename Sink>
  class Issuer {
   public:
    Issuer(Pipeline* pipeline, Sink* sink, Counts* counts, uint32_t seed)
        : pipeline_(pipeline), sink_(sink), counts_(counts), random_(seed) {}

    // Sends the requests [first, last) for the first time, to the connections
    // [lowest, lowest + count).
    void Start(uint32_t first, uint32_t last, uint32_t lowest, uint32_t count) {
      lowest_ = lowest;
      count_ = count;
      for (uint32_t stream = first; stream < last; ++stream) Issue(stream);
    }
    void Range(uint32_t lowest, uint32_t count) {
      lowest_ = lowest;
      count_ = count;
    }

    // What arrived on a connection: completes requests, issues the next.
    void OnBytes(uint32_t connection, const char* data, size_t bytes) {
      counts_->events.Add(1);
      counts_->bytes.Add(bytes);
      const uint32_t frame = pipeline_->options_.answer_bytes;
      std::string& partial = pipeline_->partial_[connection];
      if (!partial.empty()) {
        const size_t missing = frame - partial.size();
        const size_t taken = std::min<size_t>(missing, bytes);
        partial.append(data, taken);
        data += taken;
        bytes -= taken;
        if (partial.size() < frame) return;
        OnFrame(connection, partial.data());
        partial.clear();
      }
      for (; bytes >= frame; data += frame, bytes -= frame) {
        OnFrame(connection, data);
      }
      if (bytes > 0) partial.assign(data, bytes);
    }

   private:
    static constexpr uint32_t kTimedEvery = 64;

    void OnFrame(uint32_t connection, const char* frame) {
      const uint32_t stream =
          static_cast<uint8_t>(frame[2]) << 8 | static_cast<uint8_t>(frame[3]);
      if ((frame[0] & 0x7f) != 4 || stream >= pipeline_->requests_.size() ||
          pipeline_->requests_[stream].connection != connection) {
        Die("an answer on the wrong connection");
      }
      if (stream % kTimedEvery == 0) {
        counts_->latency.Add(static_cast<uint64_t>(
            NowNs() - pipeline_->requests_[stream].sent_ns));
      }
      Issue(stream);
    }

    void Issue(uint32_t stream) {
      const uint32_t connection =
          lowest_ + static_cast<uint32_t>(uint64_t{random_()} * count_ >> 32);
      Request& request = pipeline_->requests_[stream];
      request.connection = connection;
      if (stream % kTimedEvery == 0) request.sent_ns = NowNs();
      const std::string& bytes = pipeline_->request_;
      const auto size = static_cast<uint32_t>(bytes.size());
      char* out = sink_->Reserve(connection, size);
      memcpy(out, bytes.data(), size);
      out[2] = static_cast<char>(stream >> 8);
      out[3] = static_cast<char>(stream);
      sink_->Commit(connection, size);
    }

    Pipeline* pipeline_;
    Sink* sink_;
    Counts* counts_;
    std::mt19937 random_;
    uint32_t lowest_ = 0;
    uint32_t count_ = 1;
  };

 private:
  struct Request {
    uint32_t connection = 0;
    int64_t sent_ns = 0;
  };
  Options options_;
  std::vector<std::string> partial_;  // Of a frame, by connection.
  std::vector<Request> requests_;     // By stream id.
  std::string request_;
};

// Collects what a turn sends, by connection, and which connections are dirty:
// the sink of clients that flush once at the end of a turn.
class TurnBuffers {
 public:
  explicit TurnBuffers(uint32_t connections) : buffers_(connections) {}

  char* Reserve(uint32_t connection, uint32_t bytes) {
    std::string& buffer = buffers_[connection];
    if (buffer.empty()) dirty_.push_back(connection);
    const size_t before = buffer.size();
    buffer.resize(before + bytes);
    return buffer.data() + before;
  }
  void Commit(uint32_t, uint32_t) {}

  // Calls `send(connection, std::string* bytes)` for each dirty connection;
  // what it leaves in `bytes` stays, and the connection dirty.
  template <typename Send>
  void Flush(Send&& send) {
    flushing_.swap(dirty_);
    for (uint32_t connection : flushing_) {
      std::string& buffer = buffers_[connection];
      send(connection, &buffer);
      if (!buffer.empty()) dirty_.push_back(connection);
    }
    flushing_.clear();
  }
  bool dirty() const { return !dirty_.empty(); }

 private:
  std::vector<std::string> buffers_;
  std::vector<uint32_t> dirty_;
  std::vector<uint32_t> flushing_;
};

}  // namespace socket_scaling

#endif  // RINGPLANE_BENCHMARKS_SOCKET_SCALING_PIPELINE_H_
