// HTTP/1.1 on a connection: one request at a time, in order.
#include "service/server/connection.h"

namespace server {

void Connection::ConsumeHttp1(std::string_view bytes) {
  bool was_idle = !parser_->in_request();
  bool was_in_body = parser_->in_body();
  if (busy_ || !behind_.empty()) {
    behind_.append(bytes);
  } else {
    RunHttp1(&bytes);
    if (!finishing_ && !bytes.empty()) behind_.assign(bytes);
  }
  if (finishing_ || busy_ || !parser_->in_request()) return;
  // A head or a body has begun and is not complete: it has a time limit.
  if (was_idle || was_in_body != parser_->in_body()) since_ = now();
  EnsureTimer(since_ + (parser_->in_body() ? options().body_timeout
                                           : options().header_timeout));
}

void Connection::RunHttp1(std::string_view* input) {
  using Event = http::Http1Parser::Event;
  parsing_ = true;
  while (!busy_ && !finishing_ && !full()) {
    Event event = parser_->Parse(input);
    if (event == Event::kNeedMore) break;
    if (event == Event::kContinue) {
      NoteOutput();
      Append("HTTP/1.1 100 Continue\r\n\r\n");
    } else if (event == Event::kError) {
      if (parser_->not_http()) {
        server_->stats.Hit(Limit::kBadRequest);
        Finish();
      } else {
        RejectHttp1(parser_->error_status());
      }
    } else {
      since_ = now();
      served_any_ = true;
      busy_ = true;
      server_->Dispatch(this, nullptr, parser_->request());
    }
  }
  parsing_ = false;
}

void Connection::SendHttp1() {
  const bool keep_alive = parser_->keep_alive() && !draining_;
  if (parser_->http10() && response_.has_trailers) {
    // There is no way to send them.
    response_.Clear();
    response_.status = 505;
  }
  WriteHttp1Response(response_, keep_alive, parser_->request().method == "HEAD",
                     this);
  response_.Clear();
  busy_ = false;
  since_ = now();
  if (!keep_alive) {
    Finish();
    return;
  }
  parser_->Reset();
  if (!parsing_) ResumeHttp1();
}

void Connection::ResumeHttp1() {
  if (busy_ || finishing_ || killed_ || parser_ == nullptr) return;
  if (!behind_.empty()) {
    std::string_view input = behind_;
    RunHttp1(&input);
    behind_.erase(0, behind_.size() - input.size());
    if (parser_->in_request() && !busy_ && !finishing_) {
      EnsureTimer(since_ + options().header_timeout);
    }
  }
  CheckOutput();
  // All that the client ever sent is answered.
  if (eof_ && !busy_ && !waiting_for_output_) Finish();
  EnsureTimer(since_ + options().idle_timeout);
  progress_.Set();
}

void Connection::RejectHttp1(int status) {
  server_->stats.Hit(status == 431 ? Limit::kHeaderBytes : Limit::kBadRequest);
  NoteOutput();
  response_.Clear();
  response_.status = status;
  if (!parser_->error().empty()) {
    response_.headers.Add("content-type", "text/plain; charset=utf-8");
    response_.body.assign(parser_->error());
    response_.body.push_back('\n');
  }
  WriteHttp1Response(response_, /*keep_alive=*/false, /*head_only=*/false,
                     this);
  response_.Clear();
  Finish();
}

}  // namespace server
