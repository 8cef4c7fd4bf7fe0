// http::Http1Parser: what it reads, and all that it refuses so that nobody can
// disagree with it on where a request ends.
#include "service/http/http1_parser.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace http {
namespace {

using Event = Http1Parser::Event;

class StringSink : public ByteSink {
 public:
  void Append(std::string_view bytes) override { text.append(bytes); }
  std::string text;
};

struct Parsed {
  Event event = Event::kNeedMore;
  int status = 0;
  bool not_http = false;
  bool keep_alive = false;
  bool continued = false;
  Request request;
  std::string rest;
};

// In pieces of `piece` bytes; stops at the first request or error.
Parsed Parse(std::string_view bytes, size_t piece = std::string_view::npos,
             Http1Parser::Limits limits = {}) {
  Http1Parser parser(limits);
  Parsed parsed;
  while (!bytes.empty()) {
    std::string_view input = bytes.substr(0, piece);
    size_t given = input.size();
    do {
      parsed.event = parser.Parse(&input);
      parsed.continued |= parsed.event == Event::kContinue;
    } while (parsed.event == Event::kContinue);
    bytes.remove_prefix(given - input.size());
    if (parsed.event != Event::kNeedMore) break;
    EXPECT_TRUE(input.empty());
  }
  parsed.status = parser.error_status();
  parsed.not_http = parser.not_http();
  parsed.keep_alive = parser.keep_alive();
  parsed.request = parser.request();
  parsed.rest = std::string(bytes);
  return parsed;
}

constexpr std::string_view kPost =
    "POST /a.B/C?x=1 HTTP/1.1\r\nHost: example.org:3000\r\n"
    "Content-Type: application/proto\r\nX-Empty:\r\nX-Padded: \t a b \t\r\n"
    "Content-Length: 5\r\n\r\nhelloGET";

TEST(Http1ParserTest, ReadsARequestWithALength) {
  Parsed parsed = Parse(kPost);
  ASSERT_EQ(parsed.event, Event::kRequest);
  EXPECT_EQ(parsed.request.method, "POST");
  EXPECT_EQ(parsed.request.target, "/a.B/C?x=1");
  EXPECT_EQ(parsed.request.path(), "/a.B/C");
  EXPECT_EQ(parsed.request.query(), "x=1");
  EXPECT_EQ(parsed.request.authority, "example.org:3000");
  EXPECT_EQ(parsed.request.headers.Find("content-type"), "application/proto");
  EXPECT_EQ(parsed.request.headers.Find("x-padded"), "a b");
  EXPECT_TRUE(parsed.request.headers.Contains("x-empty"));
  EXPECT_EQ(parsed.request.body, "hello");
  EXPECT_EQ(parsed.rest, "GET");
  EXPECT_TRUE(parsed.keep_alive);
}

TEST(Http1ParserTest, EverySplitGivesTheSame) {
  for (size_t piece = 1; piece < kPost.size(); ++piece) {
    Parsed parsed = Parse(kPost, piece);
    ASSERT_EQ(parsed.event, Event::kRequest) << piece;
    EXPECT_EQ(parsed.request.body, "hello");
    EXPECT_EQ(parsed.request.headers.size(), 5u);
  }
}

TEST(Http1ParserTest, EveryTruncationWaitsForMore) {
  size_t complete = kPost.size() - 3;
  for (size_t size = 1; size < complete; ++size) {
    EXPECT_EQ(Parse(kPost.substr(0, size)).event, Event::kNeedMore) << size;
  }
}

TEST(Http1ParserTest, ReadsChunksWithExtensionsAndTrailers) {
  constexpr std::string_view kChunked =
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"
      "5;name=value\r\nhello\r\n00A\r\n, chunked \r\n0\r\n"
      "X-Check: 1\r\n\r\nNEXT";
  for (size_t piece : {size_t{1}, size_t{7}, size_t{1000}}) {
    Parsed parsed = Parse(kChunked, piece);
    ASSERT_EQ(parsed.event, Event::kRequest);
    EXPECT_EQ(parsed.request.body, "hello, chunked ");
  }
}

TEST(Http1ParserTest, RequestsFollowEachOther) {
  Http1Parser parser({});
  std::string_view input =
      "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n"
      "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"
      "\r\nGET /3 HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n";
  for (std::string target : {"/1", "/2", "/3"}) {
    ASSERT_EQ(parser.Parse(&input), Event::kRequest);
    EXPECT_EQ(parser.request().target, target);
    EXPECT_EQ(parser.keep_alive(), target != "/3");
    parser.Reset();
  }
  EXPECT_TRUE(input.empty());
  EXPECT_FALSE(parser.in_request());
}

TEST(Http1ParserTest, AsksToContinueOnce) {
  Parsed parsed = Parse(
      "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n"
      "Content-Length: 1\r\n\r\nx");
  EXPECT_EQ(parsed.event, Event::kRequest);
  EXPECT_TRUE(parsed.continued);
  EXPECT_EQ(Parse("POST / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n").status,
            417);
}

TEST(Http1ParserTest, TakesAbsoluteTargetsAndOptions) {
  Parsed parsed =
      Parse("GET http://other.example/p?q HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_EQ(parsed.event, Event::kRequest);
  EXPECT_EQ(parsed.request.target, "/p?q");
  EXPECT_EQ(parsed.request.authority, "other.example");
  EXPECT_EQ(Parse("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n").request.target,
            "/");
  EXPECT_EQ(Parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").event,
            Event::kRequest);
}

TEST(Http1ParserTest, ClosesAfterHttp10) {
  Parsed parsed = Parse("GET / HTTP/1.0\r\n\r\n");
  ASSERT_EQ(parsed.event, Event::kRequest);
  EXPECT_FALSE(parsed.keep_alive);
}

struct BadRequest {
  const char* name;
  std::string bytes;
  int status;
};

std::string Post(std::string_view headers, std::string_view body) {
  return "POST / HTTP/1.1\r\nHost: h\r\n" + std::string(headers) + "\r\n" +
         std::string(body);
}

std::vector<BadRequest> Smuggling() {
  const std::string te = "Transfer-Encoding: chunked\r\n";
  return {
      {"CL and TE", Post("Content-Length: 3\r\n" + te, "0\r\n\r\n"), 400},
      {"TE and CL", Post(te + "Content-Length: 3\r\n", "0\r\n\r\n"), 400},
      {"two CL", Post("Content-Length: 1\r\nContent-Length: 2\r\n", "x"), 400},
      {"equal CL", Post("Content-Length: 1\r\nContent-Length: 1\r\n", "x"),
       400},
      {"CL list", Post("Content-Length: 1, 1\r\n", "x"), 400},
      {"CL plus", Post("Content-Length: +1\r\n", "x"), 400},
      {"CL minus", Post("Content-Length: -1\r\n", "x"), 400},
      {"CL hex", Post("Content-Length: 0x1\r\n", "x"), 400},
      {"CL empty", Post("Content-Length:\r\n", "x"), 400},
      {"CL blank inside", Post("Content-Length: 1 0\r\n", "x"), 400},
      {"CL overflow", Post("Content-Length: 18446744073709551617\r\n", "x"),
       400},
      {"CL quoted", Post("Content-Length: \"1\"\r\n", "x"), 400},
      {"TE twice", Post(te + te, "0\r\n\r\n"), 400},
      {"TE list", Post("Transfer-Encoding: gzip, chunked\r\n", ""), 501},
      {"TE chunked twice", Post("Transfer-Encoding: chunked, chunked\r\n", ""),
       501},
      {"TE identity", Post("Transfer-Encoding: identity\r\n", "x"), 501},
      {"TE xchunked", Post("Transfer-Encoding: xchunked\r\n", ""), 501},
      {"TE with VT",
       Post("Transfer-Encoding: \x0b"
            "chunked\r\n",
            ""),
       400},
      {"TE with NUL",
       Post(std::string("Transfer-Encoding: chunked\0\r\n", 29), ""), 400},
      {"TE parameter", Post("Transfer-Encoding: chunked;q=1\r\n", ""), 501},
      {"TE quoted", Post("Transfer-Encoding: \"chunked\"\r\n", ""), 501},
      {"space before colon", Post("Transfer-Encoding : chunked\r\n", ""), 400},
      {"space before CL colon", Post("Content-Length : 1\r\n", "x"), 400},
      {"folded TE", Post("Transfer-Encoding:\r\n chunked\r\n", ""), 501},
      {"folded header", Post("X: a\r\n\tb\r\n", ""), 400},
      {"bare LF after line", "POST / HTTP/1.1\nHost: h\r\n\r\n", 400},
      {"bare LF after header", "POST / HTTP/1.1\r\nHost: h\n\r\n", 400},
      {"bare LF at the end", "POST / HTTP/1.1\r\nHost: h\r\n\n", 400},
      {"bare CR in a value", Post("X: a\rTransfer-Encoding: chunked\r\n", ""),
       400},
      {"LF hidden in a value", Post("X: a\nContent-Length: 5\r\n", ""), 400},
      {"TE in HTTP/1.0",
       "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"two hosts", Post("Host: other\r\n", ""), 400},
      {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"bad host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
      {"first header folded", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400},
      {"nameless header", Post(": x\r\n", ""), 400},
      {"no colon", Post("header\r\n", ""), 400},
      {"chunk size blank", Post(te, " 5\r\nhello\r\n0\r\n\r\n"), 400},
      {"chunk size plus", Post(te, "+5\r\nhello\r\n0\r\n\r\n"), 400},
      {"chunk size 0x", Post(te, "0x5\r\nhello\r\n0\r\n\r\n"), 400},
      {"chunk size minus", Post(te, "-5\r\nhello\r\n0\r\n\r\n"), 400},
      {"chunk size empty", Post(te, "\r\nhello\r\n0\r\n\r\n"), 400},
      {"chunk size overflow", Post(te, "10000000000000005\r\nhello\r\n"), 400},
      {"chunk size trailing blank", Post(te, "5 \r\nhello\r\n0\r\n\r\n"), 400},
      {"chunk size bare LF", Post(te, "5\nhello\r\n0\r\n\r\n"), 400},
      {"chunk without CRLF", Post(te, "5\r\nhelloX\r\n0\r\n\r\n"), 400},
      {"chunk end bare LF", Post(te, "5\r\nhello\n0\r\n\r\n"), 400},
      {"chunk extension with LF", Post(te, "5;a\nb\r\nhello\r\n"), 400},
      {"long chunk extension", Post(te, "5;" + std::string(2000, 'a')), 400},
      {"trailer CL", Post(te, "0\r\nContent-Length: 5\r\n\r\n"), 400},
      {"trailer TE", Post(te, "0\r\n" + te + "\r\n"), 400},
      {"trailer folded", Post(te, "0\r\n x\r\n\r\n"), 400},
      {"trailer bare LF", Post(te, "0\r\n\n"), 400},
  };
}

TEST(Http1ParserTest, RefusesWhatTwoReadersCouldReadDifferently) {
  for (const BadRequest& bad : Smuggling()) {
    for (size_t piece : {std::string_view::npos, size_t{1}}) {
      Parsed parsed = Parse(bad.bytes, piece);
      EXPECT_EQ(parsed.event, Event::kError) << bad.name;
      EXPECT_EQ(parsed.status, bad.status) << bad.name;
      EXPECT_FALSE(parsed.keep_alive) << bad.name;
    }
  }
}

// RFC 9112 allows these.
TEST(Http1ParserTest, TakesOddButLegalFraming) {
  EXPECT_EQ(Parse(Post("Transfer-Encoding:\tchunked\t\r\n", "0\r\n\r\n")).event,
            Event::kRequest);
  EXPECT_EQ(Parse(Post("content-length:0005\r\n", "hello")).request.body,
            "hello");
  EXPECT_EQ(Parse("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").event,
            Event::kRequest);
}

TEST(Http1ParserTest, RefusesBadRequestLines) {
  const BadRequest cases[] = {
      {"no version", "GET /\r\n", 400},
      {"two blanks", "GET  / HTTP/1.1\r\n", 400},
      {"trailing blank", "GET / HTTP/1.1 \r\n", 400},
      {"leading blank", " GET / HTTP/1.1\r\n", 400},
      {"tab", "GET\t/ HTTP/1.1\r\n", 400},
      {"lower case", "GET / http/1.1\r\n", 400},
      {"method", "G(T / HTTP/1.1\r\n", 400},
      {"HTTP/2.0", "GET / HTTP/2.0\r\n", 505},
      {"HTTP/1.2", "GET / HTTP/1.2\r\n", 505},
      {"HTTP/1.10", "GET / HTTP/1.10\r\n", 400},
      {"no path", "GET x HTTP/1.1\r\n", 400},
      {"CONNECT", "CONNECT h:1 HTTP/1.1\r\n", 400},
      {"star", "GET * HTTP/1.1\r\n", 400},
      {"control character", "GET /\x01 HTTP/1.1\r\n", 400},
      {"8-bit", "GET /\xe9 HTTP/1.1\r\n", 400},
      {"DEL", "GET /\x7f HTTP/1.1\r\n", 400},
      {"user in host", "GET http://u@h/ HTTP/1.1\r\n", 400},
      {"two empty lines", "\r\n\r\nGET / HTTP/1.1\r\n", 400},
  };
  for (const BadRequest& bad : cases) {
    Parsed parsed = Parse(bad.bytes);
    EXPECT_EQ(parsed.event, Event::kError) << bad.name;
    EXPECT_EQ(parsed.status, bad.status) << bad.name;
  }
}

// h2spec sends one to a port that speaks HTTP/2: such a peer gets no answer.
TEST(Http1ParserTest, KnowsWhatIsNoHttpAtAll) {
  EXPECT_TRUE(Parse("INVALID CONNECTION PREFACE\r\n\r\n").not_http);
  EXPECT_TRUE(Parse("\x16\x03\x01\x02 hello there\r\n").not_http);
  EXPECT_TRUE(Parse("\x16").not_http);
  EXPECT_FALSE(Parse("GET x HTTP/1.1\r\n").not_http);
}

TEST(Http1ParserTest, EveryPartHasALimit) {
  std::string head = "GET / HTTP/1.1\r\nHost: h\r\n";
  EXPECT_EQ(Parse(head + "X: " + std::string(17'000, 'x')).status, 431);
  std::string many = head;
  for (int i = 0; i < 101; ++i) many += "a: b\r\n";
  EXPECT_EQ(Parse(many).status, 431);
  std::string small = head;
  for (int i = 0; i < 99; ++i) small += "a: b\r\n";
  EXPECT_EQ(Parse(small + "\r\n").event, Event::kRequest);
  std::string wide = head;
  for (int i = 0; i < 90; ++i) wide += "a: " + std::string(200, 'x') + "\r\n";
  EXPECT_EQ(Parse(wide).status, 431);
  EXPECT_EQ(Parse("GET /" + std::string(9000, 'x') + " HTTP/1.1\r\n").status,
            414);
  EXPECT_EQ(Parse("GET /" + std::string(20'000, 'x')).status, 414);
  EXPECT_EQ(Parse(std::string(33, 'A') + " / HTTP/1.1\r\n").status, 501);
  std::string trailers = Post("Transfer-Encoding: chunked\r\n", "0\r\n");
  for (int i = 0; i < 100; ++i) {
    trailers += "a: " + std::string(100, 'x') + "\r\n";
  }
  EXPECT_EQ(Parse(trailers).status, 431);
}

TEST(Http1ParserTest, ABodyPastItsLimitIsReportedOrRefused) {
  Http1Parser::Limits limits;
  limits.body_bytes_max = 10;
  for (std::string framing :
       {Post("Content-Length: 11\r\n", ""),
        Post("Content-Length: 999999999999999999\r\n", ""),
        Post("Transfer-Encoding: chunked\r\n", "6\r\nabcdef\r\n5\r\n"),
        Post("Transfer-Encoding: chunked\r\n", "fffffffffffffff\r\n")}) {
    limits.report_large_body = true;
    Parsed parsed = Parse(framing, std::string_view::npos, limits);
    EXPECT_EQ(parsed.event, Event::kRequest);
    EXPECT_TRUE(parsed.request.body_too_large);
    EXPECT_FALSE(parsed.keep_alive);
    limits.report_large_body = false;
    EXPECT_EQ(Parse(framing, std::string_view::npos, limits).status, 413);
  }
  EXPECT_EQ(Parse(Post("Content-Length: 10\r\n", "0123456789"),
                  std::string_view::npos, limits)
                .event,
            Event::kRequest);
}

TEST(Http1ResponseTest, WritesALength) {
  Response response;
  response.headers.Add("content-type", "text/plain");
  response.body = "hi";
  StringSink sink;
  WriteHttp1Response(response, true, false, &sink);
  EXPECT_EQ(sink.text,
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
            "content-length: 2\r\n\r\nhi");
  sink.text.clear();
  response.status = 404;
  WriteHttp1Response(response, false, true, &sink);
  EXPECT_EQ(sink.text,
            "HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\n"
            "connection: close\r\ncontent-length: 2\r\n\r\n");
}

TEST(Http1ResponseTest, WritesTrailersAfterAChunk) {
  Response response;
  response.has_trailers = true;
  response.trailers.Add("grpc-status", "0");
  response.body = "0123456789abcdef0";
  StringSink sink;
  WriteHttp1Response(response, true, false, &sink);
  EXPECT_EQ(sink.text,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n"
            "trailer: grpc-status\r\n\r\n11\r\n0123456789abcdef0\r\n"
            "0\r\ngrpc-status: 0\r\n\r\n");
}

}  // namespace
}  // namespace http
