#include "service/http/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "ioloop/check.h"
#include "service/http/text.h"

namespace http {
namespace {

// What HTTP/2 adds to the size of each field (RFC 9113, 6.5.2).
constexpr size_t kFieldOverhead = 32;
// A header list this many times too large is no mistake but an attack on
// whoever decodes it: nobody answers that.
constexpr size_t kHeaderListGrace = 16;
// What an answer, and a DATA frame sent, pay into the junk budget: a client
// sends a SETTINGS ack or a few WINDOW_UPDATEs for them.
constexpr double kJunkEarned = 2;
constexpr size_t kTinyData = 16;
constexpr double kTinyDataCost = 0.25;

std::string_view View(const uint8_t* data, size_t size) {
  return std::string_view(reinterpret_cast<const char*>(data), size);
}

// REQUIRES: what the views show stays until the frame is sent or its stream
// closed. nghttp2 copies the array, not the text.
nghttp2_nv FieldOf(std::string_view name, std::string_view value) {
  nghttp2_nv field;
  field.name = reinterpret_cast<uint8_t*>(const_cast<char*>(name.data()));
  field.value = reinterpret_cast<uint8_t*>(const_cast<char*>(value.data()));
  field.namelen = name.size();
  field.valuelen = value.size();
  field.flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
  return field;
}

void AddFields(const Headers& headers, std::vector<nghttp2_nv>* fields) {
  for (size_t i = 0; i < headers.size(); ++i) {
    Header header = headers[i];
    fields->push_back(FieldOf(header.name, header.value));
  }
}

// Scratch of the thread: nghttp2 copies it at once.
std::vector<nghttp2_nv>& FieldScratch() {
  static thread_local std::vector<nghttp2_nv> fields;
  fields.clear();
  return fields;
}

struct StatusText {
  StatusText() {
    for (int status = 0; status < 600; ++status) {
      text[status][0] = static_cast<char>('0' + status / 100);
      text[status][1] = static_cast<char>('0' + status / 10 % 10);
      text[status][2] = static_cast<char>('0' + status % 10);
    }
  }
  char text[600][3];
};

std::string_view StatusOf(int status) {
  static const StatusText* const table = new StatusText;
  if (status < 100 || status > 599) status = 500;
  return std::string_view(table->text[status], 3);
}

}  // namespace

Sniffed SniffProtocol(std::string_view first_bytes) {
  size_t compared = std::min(first_bytes.size(), kHttp2Preface.size());
  if (first_bytes.substr(0, compared) == kHttp2Preface.substr(0, compared)) {
    return compared == kHttp2Preface.size() ? Sniffed::kHttp2
                                            : Sniffed::kNeedMore;
  }
  // No method of HTTP/1.1 goes with that target.
  constexpr size_t kPri = 6;  // "PRI * "
  if (first_bytes.substr(0, kPri) == kHttp2Preface.substr(0, kPri)) {
    return Sniffed::kBadPreface;
  }
  return Sniffed::kHttp1;
}

// nghttp2's callbacks. Those that receive return 0, or
// NGHTTP2_ERR_CALLBACK_FAILURE once the connection is condemned.
struct Http2Session::Callbacks {
  static Http2Session* Self(void* user_data) {
    return static_cast<Http2Session*>(user_data);
  }
  static Http2Stream* StreamOf(nghttp2_session* session, int32_t id) {
    return static_cast<Http2Stream*>(
        nghttp2_session_get_stream_user_data(session, id));
  }
  static int Result(Http2Session* self) {
    return self->abused_ ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
  }

  static int OnBeginFrame(nghttp2_session* session,
                          const nghttp2_frame_hd* header, void* user_data) {
    Http2Session* self = Self(user_data);
    switch (header->type) {
      case NGHTTP2_HEADERS:
        // nghttp2 decodes those of a stream that is gone, and forgets them.
        if (header->stream_id > self->highest_id_) {
          self->highest_id_ = header->stream_id;
        } else if (StreamOf(session, header->stream_id) == nullptr) {
          self->SpendJunk(1);
        }
        break;
      case NGHTTP2_CONTINUATION:
        break;
      case NGHTTP2_DATA:
        // For a stream that is gone; for others see OnFrameReceived.
        if (StreamOf(session, header->stream_id) == nullptr) {
          self->SpendJunk(1);
        }
        break;
      case NGHTTP2_RST_STREAM: {
        Http2Stream* stream = StreamOf(session, header->stream_id);
        // One that is answered already takes back what the answer has earned:
        // now and then a reset crosses its answer, but not always.
        double cost = 0;
        if (stream == nullptr) {
          cost = 2;
        } else if (self->now_ - stream->opened <
                   self->options_.abuse.rapid_reset_age) {
          cost = 1;
        }
        if (cost > 0 && !self->resets_.Spend(cost, self->now_)) {
          self->Abuse("streams reset as soon as they were opened");
        }
        break;
      }
      default:
        self->SpendJunk(1);
        break;
    }
    return Result(self);
  }

  static int OnBeginHeaders(nghttp2_session* session,
                            const nghttp2_frame* frame, void* user_data) {
    Http2Session* self = Self(user_data);
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      Http2Stream* stream = self->Open(frame->hd.stream_id);
      nghttp2_session_set_stream_user_data(session, stream->id, stream);
    }
    return Result(self);
  }

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame,
                      const uint8_t* name_data, size_t name_size,
                      const uint8_t* value_data, size_t value_size, uint8_t,
                      void* user_data) {
    Http2Session* self = Self(user_data);
    Http2Stream* stream = StreamOf(session, frame->hd.stream_id);
    if (stream == nullptr) return Result(self);
    stream->header_bytes += name_size + value_size + kFieldOverhead;
    if (stream->header_bytes > self->options_.header_bytes_max ||
        stream->request.headers.size() >= self->options_.header_count_max) {
      stream->headers_too_large = true;
      if (stream->header_bytes >
          self->options_.header_bytes_max * kHeaderListGrace) {
        self->Count(Guard::kHeaderBytes);
        self->Abuse("a header list many times its limit");
      }
      return Result(self);
    }
    // Trailers: no RPC of ours reads a request's.
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return Result(self);
    std::string_view name = View(name_data, name_size);
    std::string_view value = View(value_data, value_size);
    Request& request = stream->request;
    if (name.empty() || name[0] != ':') {
      request.headers.Add(name, value);
      if (name == "host" && request.authority.empty()) {
        request.authority.assign(value);
      }
    } else if (name == ":path") {
      request.target.assign(value);
    } else if (name == ":method") {
      request.method.assign(value);
    } else if (name == ":authority") {
      request.authority.assign(value);
    }
    return Result(self);
  }

  // Without this nghttp2 would drop the field and serve the request.
  static int OnInvalidHeader(nghttp2_session*, const nghttp2_frame*,
                             const uint8_t*, size_t, const uint8_t*, size_t,
                             uint8_t, void*) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  static int OnDataChunk(nghttp2_session* session, uint8_t, int32_t stream_id,
                         const uint8_t* data, size_t size, void* user_data) {
    Http2Session* self = Self(user_data);
    Http2Stream* stream = StreamOf(session, stream_id);
    if (stream == nullptr || stream->delivered || stream->responded) {
      return Result(self);
    }
    Request& request = stream->request;
    bool body_full = request.body.size() + size > self->options_.body_bytes_max;
    bool buffer_full =
        self->request_bytes_ + size > self->options_.request_buffer_bytes_max;
    if (body_full || buffer_full) {
      self->Count(body_full ? Guard::kBodyBytes : Guard::kRequestBuffer);
      self->request_bytes_ -= request.body.size();
      request.body.clear();
      request.body_too_large = true;
      self->Deliver(stream);
      return Result(self);
    }
    request.body.append(View(data, size));
    self->request_bytes_ += size;
    return Result(self);
  }

  static int OnFrameReceived(nghttp2_session* session,
                             const nghttp2_frame* frame, void* user_data) {
    Http2Session* self = Self(user_data);
    uint8_t type = frame->hd.type;
    if (type != NGHTTP2_HEADERS && type != NGHTTP2_DATA) return Result(self);
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (type == NGHTTP2_DATA && !end) {
      size_t payload = frame->hd.length - frame->data.padlen;
      if (payload == 0) {
        self->SpendJunk(1);
      } else if (payload < kTinyData) {
        self->SpendJunk(kTinyDataCost);
      }
    }
    Http2Stream* stream = StreamOf(session, frame->hd.stream_id);
    if (stream == nullptr || self->abused_) return Result(self);
    stream->remote_closed = stream->remote_closed || end;
    if (type == NGHTTP2_HEADERS && stream->headers_too_large &&
        !stream->responded) {
      self->Count(Guard::kHeaderBytes);
      self->RespondTooLarge(stream);
    } else if (end && !stream->delivered && !stream->responded) {
      self->request_bytes_ -= stream->request.body.size();
      self->Deliver(stream);
    }
    return Result(self);
  }

  static int OnFrameSent(nghttp2_session* session, const nghttp2_frame* frame,
                         void* user_data) {
    Http2Session* self = Self(user_data);
    switch (frame->hd.type) {
      case NGHTTP2_RST_STREAM:
        if (frame->rst_stream.error_code == NGHTTP2_REFUSED_STREAM) {
          self->Count(Guard::kStreams);
          self->SpendJunk(1);
        } else if (frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
                   frame->rst_stream.error_code != NGHTTP2_CANCEL &&
                   !self->forced_resets_.Spend(1, self->now_)) {
          self->Abuse("too many streams that had to be reset");
        }
        break;
      case NGHTTP2_DATA:
        self->junk_.Earn(kJunkEarned);
        [[fallthrough]];
      case NGHTTP2_HEADERS:
        // The answer is complete before the request is: stop the upload.
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
          self->junk_.Earn(kJunkEarned);
          self->resets_.Earn(1);
          Http2Stream* stream = StreamOf(session, frame->hd.stream_id);
          if (stream != nullptr && !stream->remote_closed) {
            nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id,
                                      NGHTTP2_NO_ERROR);
          }
        }
        break;
      default:
        break;
    }
    return 0;
  }

  static int OnStreamClose(nghttp2_session* session, int32_t stream_id,
                           uint32_t, void* user_data) {
    Http2Stream* stream = StreamOf(session, stream_id);
    if (stream != nullptr) Self(user_data)->Close(stream);
    return 0;
  }

  static ssize_t OnReadBody(nghttp2_session* session, int32_t stream_id,
                            uint8_t*, size_t length, uint32_t* data_flags,
                            nghttp2_data_source* source, void*) {
    Http2Stream* stream = static_cast<Http2Stream*>(source->ptr);
    const Response& response = stream->response;
    size_t left = response.body.size() - stream->body_sent;
    size_t taken = std::min(left, length);
    *data_flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (taken == left) {
      *data_flags |= NGHTTP2_DATA_FLAG_EOF;
      if (response.has_trailers) {
        *data_flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        std::vector<nghttp2_nv>& fields = FieldScratch();
        AddFields(response.trailers, &fields);
        int result = nghttp2_submit_trailer(session, stream_id, fields.data(),
                                            fields.size());
        if (result != 0) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
      }
    }
    return static_cast<ssize_t>(taken);
  }

  static int OnSendBody(nghttp2_session*, nghttp2_frame*,
                        const uint8_t* frame_header, size_t length,
                        nghttp2_data_source* source, void* user_data) {
    Http2Session* self = Self(user_data);
    Http2Stream* stream = static_cast<Http2Stream*>(source->ptr);
    // nghttp2 asks again at the next Flush().
    if (self->sink_->full()) return NGHTTP2_ERR_WOULDBLOCK;
    self->sink_->Append(View(frame_header, 9));
    self->sink_->Append(std::string_view(stream->response.body)
                            .substr(stream->body_sent, length));
    stream->body_sent += length;
    self->held_bytes_ -= length;
    return 0;
  }

  // Frames of unknown types are only seen by OnBeginFrame if someone seems to
  // want them.
  static int OnUnpackExtension(nghttp2_session*, void** payload,
                               const nghttp2_frame_hd*, void*) {
    *payload = nullptr;
    return 0;
  }

  static const nghttp2_option* Library() {
    static const nghttp2_option* const option = [] {
      nghttp2_option* made = nullptr;
      RINGPLANE_CHECK(nghttp2_option_new(&made) == 0, "memory");
      // Closed streams would be kept for a priority tree that nobody asks for.
      nghttp2_option_set_no_closed_streams(made, 1);
      // Its limit counts a client's timeouts as abuse; OnBeginFrame has ours.
      nghttp2_option_set_stream_reset_rate_limit(
          made, std::numeric_limits<uint64_t>::max(),
          std::numeric_limits<uint64_t>::max());
      nghttp2_option_set_max_continuations(made, 8);
      nghttp2_option_set_max_outbound_ack(made, 1000);
      for (int type = NGHTTP2_CONTINUATION + 1; type < 256; ++type) {
        nghttp2_option_set_user_recv_extension_type(made,
                                                    static_cast<uint8_t>(type));
      }
      return made;
    }();
    return option;
  }

  static const nghttp2_session_callbacks* Get() {
    static const nghttp2_session_callbacks* const callbacks = [] {
      nghttp2_session_callbacks* made = nullptr;
      RINGPLANE_CHECK(nghttp2_session_callbacks_new(&made) == 0, "memory");
      nghttp2_session_callbacks_set_on_begin_frame_callback(made,
                                                            &OnBeginFrame);
      nghttp2_session_callbacks_set_on_begin_headers_callback(made,
                                                              &OnBeginHeaders);
      nghttp2_session_callbacks_set_on_header_callback(made, &OnHeader);
      nghttp2_session_callbacks_set_on_invalid_header_callback(
          made, &OnInvalidHeader);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made,
                                                                &OnDataChunk);
      nghttp2_session_callbacks_set_on_frame_recv_callback(made,
                                                           &OnFrameReceived);
      nghttp2_session_callbacks_set_on_frame_send_callback(made, &OnFrameSent);
      nghttp2_session_callbacks_set_on_stream_close_callback(made,
                                                             &OnStreamClose);
      nghttp2_session_callbacks_set_send_data_callback(made, &OnSendBody);
      nghttp2_session_callbacks_set_unpack_extension_callback(
          made, &OnUnpackExtension);
      return made;
    }();
    return callbacks;
  }
};

Http2Session::Http2Session(const Options& options, Handler* handler,
                           absl::Time now)
    : options_(options),
      handler_(handler),
      now_(now),
      junk_(options.abuse.junk_burst, options.abuse.junk_per_second, now),
      resets_(options.abuse.reset_burst, options.abuse.reset_per_second, now),
      forced_resets_(options.abuse.forced_reset_burst,
                     options.abuse.forced_reset_per_second, now) {
  RINGPLANE_CHECK(nghttp2_session_server_new2(&session_, Callbacks::Get(), this,
                                              Callbacks::Library()) == 0,
                  "memory");

  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options.concurrent_streams_max},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
       static_cast<uint32_t>(options.header_bytes_max)},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings,
                          std::size(settings));
  nghttp2_session_set_local_window_size(
      session_, NGHTTP2_FLAG_NONE, 0,
      static_cast<int32_t>(options.connection_window));
}

Http2Session::~Http2Session() {
  nghttp2_session_del(session_);
  while (oldest_ != nullptr) Close(oldest_);
}

absl::Status Http2Session::Receive(std::string_view bytes, absl::Time now) {
  now_ = now;
  if (!failure_.ok()) return failure_;
  ssize_t result = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (result < 0 && failure_.ok()) {
    if (result == NGHTTP2_ERR_FLOODED ||
        result == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) {
      Abuse(nghttp2_strerror(static_cast<int>(result)));
    } else {
      failure_ = absl::InvalidArgumentError(
          absl::StrCat("HTTP/2: ", nghttp2_strerror(static_cast<int>(result))));
    }
  }
  return failure_;
}

void Http2Session::Abuse(std::string_view what) {
  if (abused_) return;
  abused_ = true;
  Count(Guard::kAbuse);
  failure_ = absl::ResourceExhaustedError(Cat("HTTP/2: ", what));
}

bool Http2Session::SpendJunk(double cost) {
  if (junk_.Spend(cost, now_)) return true;
  Abuse("too many frames that carry nothing");
  return false;
}

Http2Stream* Http2Session::Open(int32_t id) {
  if (free_.empty()) {
    streams_.push_back(std::make_unique<Http2Stream>());
    free_.push_back(streams_.back().get());
  }
  Http2Stream* stream = free_.back();
  free_.pop_back();
  stream->id = id;
  stream->opened = now_;
  stream->older = newest_;
  (newest_ == nullptr ? oldest_ : newest_->newer) = stream;
  newest_ = stream;
  ++open_streams_;
  ++streams_accepted_;
  return stream;
}

void Http2Session::Close(Http2Stream* stream) {
  handler_->OnClose(stream);
  if (!stream->delivered && !stream->responded) {
    request_bytes_ -= stream->request.body.size();
  }
  if (stream->responded) {
    held_bytes_ -= stream->response.body.size() - stream->body_sent;
  }
  (stream->older == nullptr ? oldest_ : stream->older->newer) = stream->newer;
  (stream->newer == nullptr ? newest_ : stream->newer->older) = stream->older;
  --open_streams_;
  stream->request.Clear();
  stream->response.Clear();
  stream->user = nullptr;
  stream->header_bytes = 0;
  stream->body_sent = 0;
  stream->delivered = false;
  stream->responded = false;
  stream->remote_closed = false;
  stream->headers_too_large = false;
  stream->newer = nullptr;
  stream->older = nullptr;
  free_.push_back(stream);
}

void Http2Session::Deliver(Http2Stream* stream) {
  stream->delivered = true;
  handler_->OnRequest(stream);
}

void Http2Session::RespondTooLarge(Http2Stream* stream) {
  request_bytes_ -= stream->request.body.size();
  stream->response.status = 431;
  Respond(stream);
}

void Http2Session::Respond(Http2Stream* stream) {
  RINGPLANE_CHECK(!stream->responded, "one response per stream");
  stream->responded = true;
  const Response& response = stream->response;
  held_bytes_ += response.body.size();
  std::vector<nghttp2_nv>& fields = FieldScratch();
  fields.push_back(FieldOf(":status", StatusOf(response.status)));
  AddFields(response.headers, &fields);
  nghttp2_data_provider body;
  body.source.ptr = stream;
  body.read_callback = &Callbacks::OnReadBody;
  bool has_body = !response.body.empty() || response.has_trailers;
  // Fails only for want of memory, or on a stream that is being closed.
  nghttp2_submit_response(session_, stream->id, fields.data(), fields.size(),
                          has_body ? &body : nullptr);
}

void Http2Session::Reset(Http2Stream* stream) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream->id,
                            NGHTTP2_CANCEL);
}

void Http2Session::Flush(ByteSink* sink) {
  sink_ = sink;
  while (failure_.ok() && !sink->full()) {
    const uint8_t* data = nullptr;
    ssize_t size = nghttp2_session_mem_send(session_, &data);
    if (size < 0) {
      failure_ = absl::InternalError(
          absl::StrCat("HTTP/2: ", nghttp2_strerror(static_cast<int>(size))));
      break;
    }
    if (size == 0) break;
    sink->Append(View(data, static_cast<size_t>(size)));
  }
  sink_ = nullptr;
  if (failure_.ok() || goaway_written_) return;
  // nghttp2 sends nothing after an error of a callback, and what it had queued
  // for an abuser is not worth sending.
  goaway_written_ = true;
  uint32_t last =
      static_cast<uint32_t>(nghttp2_session_get_last_proc_stream_id(session_));
  uint32_t code = abused_ ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR;
  char frame[17] = {0, 0, 8, NGHTTP2_GOAWAY, 0, 0, 0, 0, 0};
  for (int i = 0; i < 4; ++i) {
    frame[9 + i] = static_cast<char>(last >> (24 - 8 * i));
    frame[13 + i] = static_cast<char>(code >> (24 - 8 * i));
  }
  sink->Append(std::string_view(frame, sizeof(frame)));
}

void Http2Session::ShutdownNotice() {
  nghttp2_submit_shutdown_notice(session_);
}

void Http2Session::Goaway() {
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_),
                        NGHTTP2_NO_ERROR, nullptr, 0);
}

bool Http2Session::done() const {
  return !failure_.ok() || (nghttp2_session_want_read(session_) == 0 &&
                            nghttp2_session_want_write(session_) == 0);
}

Http2Stream* Http2Session::OldestIncomplete() const {
  for (Http2Stream* stream = oldest_; stream != nullptr;
       stream = stream->newer) {
    if (!stream->delivered && !stream->responded) return stream;
  }
  return nullptr;
}

}  // namespace http
