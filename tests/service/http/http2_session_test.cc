// http::Http2Session against an honest client and against those it is there
// to survive. No I/O: bytes go by hand.
#include "service/http/http2_session.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/http/http2_client.h"

namespace http {
namespace {

using http_testing::ClientResponse;
using http_testing::Fields;
using http_testing::Frame;
using http_testing::GrpcFields;
using http_testing::Http2Client;
using http_testing::LiteralBlock;
using http_testing::Preface;

constexpr uint8_t kEndStream = 1;
constexpr uint8_t kEndHeaders = 4;

class StringSink : public ByteSink {
 public:
  void Append(std::string_view bytes) override { text.append(bytes); }
  bool full() const override { return text.size() >= max; }
  std::string text;
  size_t max = SIZE_MAX;
};

class Http2SessionTest : public ::testing::Test, public Http2Session::Handler {
 protected:
  void Start(const Http2Session::Options& options) {
    session_ = std::make_unique<Http2Session>(options, this, now_);
  }
  void SetUp() override { Start({}); }
  void TearDown() override { session_.reset(); }

  void OnRequest(Http2Stream* stream) override {
    ++requests_;
    last_request_ = stream->request;
    if (hold_) {
      held_.push_back(stream);
      return;
    }
    Answer(stream);
  }
  void OnClose(Http2Stream* stream) override {
    ++closed_;
    std::erase(held_, stream);
  }
  void Answer(Http2Stream* stream) {
    stream->response.headers.Add("content-type", "application/grpc");
    stream->response.body = answer_;
    if (trailers_) {
      stream->response.trailers.Add("grpc-status", "0");
      stream->response.has_trailers = true;
    }
    session_->Respond(stream);
  }

  // Hands bytes over in slices, as a connection does.
  absl::Status Give(std::string_view bytes) {
    absl::Status status;
    while (!bytes.empty() && status.ok()) {
      std::string_view slice = bytes.substr(0, 4096);
      bytes.remove_prefix(slice.size());
      status = session_->Receive(slice, now_);
      session_->Flush(&sink_);
    }
    return status;
  }
  // Until both sides have nothing to say.
  void Exchange(Http2Client* client) {
    while (true) {
      session_->Flush(&sink_);
      std::string to_client;
      to_client.swap(sink_.text);
      client->Feed(to_client);
      std::string to_server = client->TakeOutput();
      if (to_server.empty() && to_client.empty()) return;
      Give(to_server).IgnoreError();
    }
  }
  // The error code of the GOAWAY that is the last frame sent, or -1.
  int64_t LastGoaway() const {
    if (sink_.text.size() < 17) return -1;
    std::string_view frame =
        std::string_view(sink_.text).substr(sink_.text.size() - 17);
    if (frame[3] != NGHTTP2_GOAWAY || frame[2] != 8) return -1;
    return static_cast<uint8_t>(frame[16]);
  }

  absl::Time now_ = absl::FromUnixSeconds(1000);
  std::unique_ptr<Http2Session> session_;
  StringSink sink_;
  std::string answer_ = std::string("\0\0\0\0\2ok", 7);
  bool trailers_ = true;
  bool hold_ = false;
  int requests_ = 0;
  int closed_ = 0;
  Request last_request_;
  std::vector<Http2Stream*> held_;
};

TEST_F(Http2SessionTest, AnswersWithBodyAndTrailers) {
  Http2Client client;
  int32_t id = client.Post("/a.B/C", {{"te", "trailers"}}, "hello");
  Exchange(&client);
  ClientResponse& response = client.response(id);
  EXPECT_EQ(last_request_.method, "POST");
  EXPECT_EQ(last_request_.target, "/a.B/C");
  EXPECT_EQ(last_request_.authority, "localhost");
  EXPECT_EQ(last_request_.headers.Find("te"), "trailers");
  EXPECT_EQ(last_request_.body, "hello");
  EXPECT_EQ(response.headers[":status"], "200");
  EXPECT_EQ(response.headers["content-type"], "application/grpc");
  EXPECT_EQ(response.body, answer_);
  EXPECT_EQ(response.trailers["grpc-status"], "0");
  EXPECT_TRUE(response.closed);
  EXPECT_EQ(response.error_code, 0u);
  EXPECT_EQ(session_->open_streams(), 0u);
  EXPECT_EQ(client.max_concurrent_streams, 100u);
  EXPECT_EQ(client.max_header_list, 16u << 10);
}

TEST_F(Http2SessionTest, HeadersAloneAreAnAnswer) {
  answer_.clear();
  trailers_ = false;
  Http2Client client;
  int32_t id = client.Post("/a.B/C", {}, "x");
  Exchange(&client);
  EXPECT_TRUE(client.response(id).closed);
  EXPECT_FALSE(client.response(id).has_body);
}

TEST_F(Http2SessionTest, LargeAnswersObeyTheClientsWindows) {
  answer_ = std::string(300'000, 'x');
  hold_ = true;
  Http2Client client;
  int32_t id = client.Post("/a.B/C", {}, "x");
  Exchange(&client);
  ASSERT_EQ(held_.size(), 1u);
  Answer(held_[0]);
  EXPECT_EQ(session_->held_bytes(), answer_.size());
  session_->Flush(&sink_);
  EXPECT_EQ(session_->held_bytes(), answer_.size() - 65535);
  Exchange(&client);
  EXPECT_EQ(client.response(id).body, answer_);
  EXPECT_EQ(session_->held_bytes(), 0u);
}

TEST_F(Http2SessionTest, AFullSinkStopsTheFlushAndLosesNothing) {
  answer_ = std::string(60'000, 'y');
  Http2Client client;
  int32_t id = client.Post("/a.B/C", {}, "x");
  sink_.max = 20'000;
  Give(client.TakeOutput()).IgnoreError();
  EXPECT_LT(sink_.text.size(), 20'000u + 16'384u + 100u);
  sink_.max = SIZE_MAX;
  Exchange(&client);
  EXPECT_EQ(client.response(id).body, answer_);
}

TEST_F(Http2SessionTest, ManyStreamsInterleave) {
  hold_ = true;
  Http2Client client;
  std::vector<int32_t> ids;
  for (int i = 0; i < 100; ++i) {
    ids.push_back(client.Post("/a.B/C", {}, std::to_string(i)));
  }
  Exchange(&client);
  ASSERT_EQ(held_.size(), 100u);
  std::vector<Http2Stream*> streams = held_;
  std::reverse(streams.begin(), streams.end());
  for (Http2Stream* stream : streams) {
    stream->response.body = stream->request.body;
    session_->Respond(stream);
  }
  Exchange(&client);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(client.response(ids[i]).body, std::to_string(i));
  }
  EXPECT_EQ(closed_, 100);
}

TEST_F(Http2SessionTest, AResetStreamIsClosedAndItsMemoryReused) {
  hold_ = true;
  Http2Client client;
  int32_t id = client.Post("/a.B/C", {}, "x");
  Exchange(&client);
  client.Reset(id, NGHTTP2_CANCEL);
  Exchange(&client);
  EXPECT_EQ(closed_, 1);
  EXPECT_TRUE(held_.empty());
  EXPECT_EQ(session_->open_streams(), 0u);
}

TEST_F(Http2SessionTest, AnEarlyAnswerStopsTheUpload) {
  Http2Session::Options options;
  options.body_bytes_max = 1000;
  Start(options);
  trailers_ = false;
  Http2Client client;
  int32_t id = client.Post("/a.B/C", {}, std::string(50'000, 'x'), false);
  Exchange(&client);
  EXPECT_TRUE(last_request_.body_too_large);
  EXPECT_TRUE(last_request_.body.empty());
  EXPECT_EQ(client.response(id).body, answer_);
  EXPECT_TRUE(client.response(id).closed);
  EXPECT_EQ(session_->guarded(Http2Session::Guard::kBodyBytes), 1u);
}

TEST_F(Http2SessionTest, AllIncompleteBodiesTogetherAreBounded) {
  Http2Session::Options options;
  options.request_buffer_bytes_max = 100'000;
  Start(options);
  Http2Client client;
  for (int i = 0; i < 10; ++i) {
    client.Post("/a.B/C", {}, std::string(30'000, 'x'), false);
  }
  Exchange(&client);
  EXPECT_GE(session_->guarded(Http2Session::Guard::kRequestBuffer), 7u);
}

TEST_F(Http2SessionTest, TheOldestIncompleteRequestIsKnown) {
  Http2Client client;
  EXPECT_EQ(session_->OldestIncomplete(), nullptr);
  client.Post("/a.B/C", {}, "done");
  int32_t open = client.Post("/a.B/C", {}, "part", false);
  client.Post("/a.B/C", {}, "part", false);
  Exchange(&client);
  ASSERT_NE(session_->OldestIncomplete(), nullptr);
  EXPECT_EQ(session_->OldestIncomplete()->id, open);
  session_->Reset(session_->OldestIncomplete());
  Exchange(&client);
  EXPECT_TRUE(client.response(open).closed);
  EXPECT_EQ(client.response(open).error_code, uint32_t{NGHTTP2_CANCEL});
}

TEST_F(Http2SessionTest, ADrainHasTwoPhasesAndFinishesWhatIsOpen) {
  hold_ = true;
  Http2Client client;
  int32_t first = client.Post("/a.B/C", {}, "1");
  Exchange(&client);
  session_->ShutdownNotice();
  session_->Flush(&sink_);
  std::string notice;
  notice.swap(sink_.text);
  // On its way before the client has seen the notice.
  int32_t second = client.Post("/a.B/C", {}, "2");
  Give(client.TakeOutput()).IgnoreError();
  client.Feed(notice);
  EXPECT_TRUE(client.goaway);
  EXPECT_EQ(client.goaway_last_stream, INT32_MAX);
  EXPECT_EQ(client.goaway_code, uint32_t{NGHTTP2_NO_ERROR});
  session_->Goaway();
  Exchange(&client);
  EXPECT_EQ(client.goaway_last_stream, second);
  EXPECT_FALSE(session_->done());
  while (!held_.empty()) Answer(held_.back()), held_.pop_back();
  Exchange(&client);
  EXPECT_EQ(client.response(first).body, answer_);
  EXPECT_EQ(client.response(second).body, answer_);
  EXPECT_TRUE(session_->done());
}

// --- What no honest client does.

TEST_F(Http2SessionTest, RapidResetEndsTheConnection) {
  hold_ = true;
  std::string bytes = Preface();
  absl::Status status = Give(bytes);
  std::string block = LiteralBlock(GrpcFields("/a.B/C"));
  int streams = 0;
  for (uint32_t id = 1; status.ok() && streams < 5000; id += 2, ++streams) {
    status = Give(
        Frame(NGHTTP2_HEADERS, kEndHeaders | kEndStream, id, block) +
        Frame(NGHTTP2_RST_STREAM, 0, id, std::string_view("\0\0\0\x8", 4)));
  }
  EXPECT_LE(streams, 1100);
  EXPECT_EQ(LastGoaway(), NGHTTP2_ENHANCE_YOUR_CALM);
  EXPECT_TRUE(session_->done());
  EXPECT_EQ(session_->guarded(Http2Session::Guard::kAbuse), 1u);
}

// Answered at once or refused: the resets come too late to save any work.
TEST_F(Http2SessionTest, RapidResetOfAnsweredStreamsEndsTheConnectionToo) {
  ASSERT_TRUE(Give(Preface()).ok());
  std::string block = LiteralBlock(GrpcFields("/a.B/C"));
  answer_.clear();
  trailers_ = false;
  absl::Status status;
  int streams = 0;
  for (uint32_t id = 1; status.ok() && streams < 5000; id += 2, ++streams) {
    status = Give(Frame(NGHTTP2_HEADERS, kEndHeaders | kEndStream, id, block));
    if (!status.ok()) break;
    status = Give(
        Frame(NGHTTP2_RST_STREAM, 0, id, std::string_view("\0\0\0\x8", 4)));
  }
  EXPECT_LE(streams, 1100);
  EXPECT_EQ(LastGoaway(), NGHTTP2_ENHANCE_YOUR_CALM);
}

// The AppView ends calls that take longer than 100 ms with INTERNAL_ERROR, as
// many as it has: that is a client with deadlines.
TEST_F(Http2SessionTest, ResetsAfterATimeoutAreNoAbuse) {
  hold_ = true;
  ASSERT_TRUE(Give(Preface()).ok());
  std::string block = LiteralBlock(GrpcFields("/a.B/C"));
  uint32_t id = 1;
  for (int round = 0; round < 200; ++round) {
    uint32_t first = id;
    for (int i = 0; i < 50; ++i, id += 2) {
      ASSERT_TRUE(
          Give(Frame(NGHTTP2_HEADERS, kEndHeaders | kEndStream, id, block))
              .ok());
    }
    now_ += absl::Milliseconds(100);
    for (uint32_t open = first; open < id; open += 2) {
      ASSERT_TRUE(Give(Frame(NGHTTP2_RST_STREAM, 0, open,
                             std::string_view("\0\0\0\x2", 4)))
                      .ok());
    }
  }
  EXPECT_EQ(closed_, 10'000);
}

// A hedging client takes the first of two answers; the other it resets.
TEST_F(Http2SessionTest, AnswersEarnResetsBack) {
  ASSERT_TRUE(Give(Preface()).ok());
  std::string block = LiteralBlock(GrpcFields("/a.B/C"));
  uint32_t id = 1;
  for (int i = 0; i < 5000; ++i) {
    hold_ = false;
    ASSERT_TRUE(
        Give(Frame(NGHTTP2_HEADERS, kEndHeaders | kEndStream, id, block)).ok());
    id += 2;
    hold_ = true;
    ASSERT_TRUE(
        Give(Frame(NGHTTP2_HEADERS, kEndHeaders | kEndStream, id, block) +
             Frame(NGHTTP2_RST_STREAM, 0, id, std::string_view("\0\0\0\x8", 4)))
            .ok());
    id += 2;
    sink_.text.clear();
    // Windows for the answers.
    if (i % 100 == 0) {
      ASSERT_TRUE(Give(Frame(NGHTTP2_WINDOW_UPDATE, 0, 0,
                             std::string_view("\0\0\x10\0", 4)))
                      .ok());
    }
  }
}

TEST_F(Http2SessionTest, MadeYouResetEndsTheConnection) {
  hold_ = true;
  ASSERT_TRUE(Give(Preface()).ok());
  std::string block = LiteralBlock(GrpcFields("/a.B/C"));
  absl::Status status;
  int streams = 0;
  for (uint32_t id = 1; status.ok() && !session_->done() && streams < 5000;
       id += 2, ++streams) {
    // nghttp2 takes an update of 0 for an error of the connection.
    status = Give(
        Frame(NGHTTP2_HEADERS, kEndHeaders | kEndStream, id, block) +
        Frame(NGHTTP2_WINDOW_UPDATE, 0, id, std::string_view("\0\0\0\0", 4)));
  }
  EXPECT_LE(streams, 200);
  EXPECT_TRUE(session_->done());
}

TEST_F(Http2SessionTest, MadeYouResetByWindowOverflowEndsTheConnection) {
  hold_ = true;
  ASSERT_TRUE(Give(Preface()).ok());
  std::string block = LiteralBlock(GrpcFields("/a.B/C"));
  absl::Status status;
  int streams = 0;
  for (uint32_t id = 1; status.ok() && streams < 5000; id += 2, ++streams) {
    status = Give(Frame(NGHTTP2_HEADERS, kEndHeaders | kEndStream, id, block) +
                  Frame(NGHTTP2_WINDOW_UPDATE, 0, id,
                        std::string_view("\x7f\xff\xff\xff", 4)));
  }
  EXPECT_LE(streams, 200);
  EXPECT_EQ(LastGoaway(), NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST_F(Http2SessionTest, UpperCaseHeadersEndTheConnectionInTheEnd) {
  ASSERT_TRUE(Give(Preface()).ok());
  Fields fields = GrpcFields("/a.B/C");
  fields.push_back({"Upper", "case"});
  std::string block = LiteralBlock(fields);
  absl::Status status;
  int streams = 0;
  for (uint32_t id = 1; status.ok() && streams < 5000; id += 2, ++streams) {
    status = Give(Frame(NGHTTP2_HEADERS, kEndHeaders | kEndStream, id, block));
  }
  EXPECT_LE(streams, 200);
  EXPECT_EQ(requests_, 0);
}

TEST_F(Http2SessionTest, ContinuationFloodsEndTheConnection) {
  for (std::string payload : {std::string(), std::string(1000, '\0')}) {
    sink_.text.clear();
    Start({});
    ASSERT_TRUE(Give(Preface() + Frame(NGHTTP2_HEADERS, 0, 1,
                                       LiteralBlock(GrpcFields("/a.B/C"))))
                    .ok());
    absl::Status status;
    int frames = 0;
    for (; status.ok() && frames < 1000; ++frames) {
      Fields fields = {{"x", payload}};
      status = Give(Frame(NGHTTP2_CONTINUATION, 0, 1,
                          payload.empty() ? "" : LiteralBlock(fields)));
    }
    EXPECT_LE(frames, 10);
    EXPECT_EQ(LastGoaway(), NGHTTP2_ENHANCE_YOUR_CALM);
  }
}

TEST_F(Http2SessionTest, TooManyHeaderBytesAreAnswered431) {
  Http2Client client;
  Fields fields;
  for (int i = 0; i < 20; ++i) {
    fields.push_back({"x-" + std::to_string(i), std::string(1000, 'v')});
  }
  int32_t id = client.Post("/a.B/C", fields, "x");
  Exchange(&client);
  EXPECT_EQ(client.response(id).headers[":status"], "431");
  EXPECT_EQ(requests_, 0);
  EXPECT_EQ(session_->guarded(Http2Session::Guard::kHeaderBytes), 1u);
  // The connection goes on.
  int32_t next = client.Post("/a.B/C", {}, "x");
  Exchange(&client);
  EXPECT_EQ(client.response(next).headers[":status"], "200");
}

TEST_F(Http2SessionTest, TooManyHeaderFieldsAreAnswered431) {
  Http2Client client;
  Fields fields;
  for (int i = 0; i < 101; ++i) fields.push_back({"a", "b"});
  int32_t id = client.Post("/a.B/C", fields, "x");
  Exchange(&client);
  EXPECT_EQ(client.response(id).headers[":status"], "431");
}

// 4 KiB in the dynamic table, then a byte for each mention of it.
TEST_F(Http2SessionTest, AnHpackBombEndsTheConnection) {
  ASSERT_TRUE(Give(Preface()).ok());
  std::string block = LiteralBlock(GrpcFields("/a.B/C"));
  std::string value(4000, 'v');
  block += std::string("\x40\x01x\x7f", 4);  // literal, indexed
  size_t rest = value.size() - 127;
  block.push_back(static_cast<char>(rest % 128 + 128));
  block.push_back(static_cast<char>(rest / 128));
  block += value;
  block += std::string(10'000, '\xbe');  // index 62, the newest
  absl::Status status =
      Give(Frame(NGHTTP2_HEADERS, kEndHeaders | kEndStream, 1, block));
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(LastGoaway(), NGHTTP2_ENHANCE_YOUR_CALM);
  EXPECT_EQ(requests_, 0);
}

TEST_F(Http2SessionTest, FramesThatCarryNothingHaveABudget) {
  struct Case {
    const char* name;
    std::string frame;
  };
  const Case cases[] = {
      {"SETTINGS", Frame(NGHTTP2_SETTINGS, 0, 0, "")},
      {"PING", Frame(NGHTTP2_PING, 0, 0, "12345678")},
      {"PING ack", Frame(NGHTTP2_PING, 1, 0, "12345678")},
      {"PRIORITY",
       Frame(NGHTTP2_PRIORITY, 0, 1, std::string_view("\0\0\0\0\x10", 5))},
      {"WINDOW_UPDATE",
       Frame(NGHTTP2_WINDOW_UPDATE, 0, 0, std::string_view("\0\0\0\1", 4))},
      {"empty DATA", Frame(NGHTTP2_DATA, 0, 1, "")},
      {"padding alone",
       Frame(NGHTTP2_DATA, 8, 1, std::string_view("\3\0\0\0", 4))},
      {"unknown type", Frame(0xfa, 0, 0, "junk")},
  };
  for (const Case& attack : cases) {
    sink_.text.clear();
    Start({});
    ASSERT_TRUE(Give(Preface() + Frame(NGHTTP2_HEADERS, kEndHeaders, 1,
                                       LiteralBlock(GrpcFields("/a.B/C"))))
                    .ok());
    absl::Status status;
    int frames = 0;
    for (; status.ok() && frames < 20'000; ++frames)
      status = Give(attack.frame);
    EXPECT_LE(frames, 1000) << attack.name;
    EXPECT_EQ(LastGoaway(), NGHTTP2_ENHANCE_YOUR_CALM) << attack.name;
  }
}

TEST_F(Http2SessionTest, HeadersOfAStreamThatIsGoneHaveABudgetToo) {
  const std::string headers = Frame(NGHTTP2_HEADERS, kEndHeaders | kEndStream,
                                    1, LiteralBlock(GrpcFields("/a.B/C")));
  ASSERT_TRUE(
      Give(Preface() + headers +
           Frame(NGHTTP2_RST_STREAM, 0, 1, std::string_view("\0\0\0\x8", 4)))
          .ok());
  absl::Status status;
  int frames = 0;
  for (; status.ok() && frames < 20'000; ++frames) status = Give(headers);
  EXPECT_LE(frames, 1000);
  EXPECT_EQ(LastGoaway(), NGHTTP2_ENHANCE_YOUR_CALM);
  EXPECT_EQ(requests_, 1);
}

// One read of 64 KiB must not be taken for a thousand acks that the peer did
// not read.
TEST_F(Http2SessionTest, KeepaliveForADayIsNoAbuse) {
  ASSERT_TRUE(Give(Preface()).ok());
  for (int i = 0; i < 8640; ++i) {
    now_ += absl::Seconds(10);
    ASSERT_TRUE(Give(Frame(NGHTTP2_PING, 0, 0, "12345678")).ok());
    sink_.text.clear();
  }
}

// Each answer costs its reader a window update or two.
TEST_F(Http2SessionTest, AClientThatReadsMuchMayUpdateItsWindows) {
  answer_ = std::string(40'000, 'z');
  Http2Client client;
  for (int i = 0; i < 3000; ++i) {
    int32_t id = client.Post("/a.B/C", {}, "x");
    Exchange(&client);
    ASSERT_EQ(client.response(id).body.size(), answer_.size()) << i;
  }
  EXPECT_FALSE(client.goaway);
}

TEST_F(Http2SessionTest, StreamsAboveTheLimitAreRefused) {
  hold_ = true;
  ASSERT_TRUE(Give(Preface()).ok());
  std::string block = LiteralBlock(GrpcFields("/a.B/C"));
  uint32_t id = 1;
  for (int i = 0; i < 300; ++i, id += 2) {
    ASSERT_TRUE(
        Give(Frame(NGHTTP2_HEADERS, kEndHeaders | kEndStream, id, block)).ok());
  }
  EXPECT_EQ(requests_, 100);
  EXPECT_EQ(session_->guarded(Http2Session::Guard::kStreams), 200u);
}

TEST_F(Http2SessionTest, BrokenFramesEndTheConnection) {
  const std::string cases[] = {
      Frame(NGHTTP2_DATA, 0, 0, "x"),                       // on stream 0
      Frame(NGHTTP2_HEADERS, kEndHeaders, 2, ""),           // even id
      Frame(NGHTTP2_PING, 0, 0, "short"),                   // size
      Frame(NGHTTP2_DATA, 0, 1, std::string(20'000, 'x')),  // frame size
      Frame(NGHTTP2_WINDOW_UPDATE, 0, 0,
            std::string_view("\x7f\xff\xff\xff", 4)),  // overflow
      Frame(NGHTTP2_CONTINUATION, 0, 1, ""),           // without HEADERS
      Frame(NGHTTP2_HEADERS, kEndHeaders, 1, "\xff\xff\xff\xff\xff\xff"),
  };
  for (const std::string& broken : cases) {
    Start({});
    Give(Preface() + broken).IgnoreError();
    EXPECT_TRUE(session_->done());
  }
}

TEST_F(Http2SessionTest, EveryTruncationOfARequestIsQuiet) {
  Http2Client client;
  client.Post("/a.B/C", {{"te", "trailers"}}, "hello");
  std::string bytes = client.TakeOutput();
  for (size_t size = 0; size < bytes.size(); ++size) {
    Start({});
    requests_ = 0;
    EXPECT_TRUE(Give(std::string_view(bytes).substr(0, size)).ok()) << size;
    EXPECT_EQ(requests_, 0);
    for (char c : bytes.substr(size)) {
      EXPECT_TRUE(Give(std::string_view(&c, 1)).ok());
    }
    EXPECT_EQ(requests_, 1);
  }
}

TEST(SniffProtocolTest, KnowsTheProtocolByItsFirstBytes) {
  EXPECT_EQ(SniffProtocol(""), Sniffed::kNeedMore);
  EXPECT_EQ(SniffProtocol("P"), Sniffed::kNeedMore);
  EXPECT_EQ(SniffProtocol("PRI * HTTP/2.0\r\n\r\nSM\r\n\r"),
            Sniffed::kNeedMore);
  EXPECT_EQ(SniffProtocol(kHttp2Preface), Sniffed::kHttp2);
  EXPECT_EQ(SniffProtocol(Preface()), Sniffed::kHttp2);
  EXPECT_EQ(SniffProtocol("PO"), Sniffed::kHttp1);
  EXPECT_EQ(SniffProtocol("GET / HTTP/1.1\r\n"), Sniffed::kHttp1);
  EXPECT_EQ(SniffProtocol("PRI * HTTP/2.0\r\n\r\nXX"), Sniffed::kBadPreface);
  EXPECT_EQ(SniffProtocol("PRI * HTTP/3.0\r\n"), Sniffed::kBadPreface);
}

}  // namespace
}  // namespace http
