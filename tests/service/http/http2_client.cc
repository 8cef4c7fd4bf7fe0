#include "tests/service/http/http2_client.h"

#include <algorithm>
#include <cstring>

namespace http_testing {
namespace {

Http2Client* Self(void* user_data) {
  return static_cast<Http2Client*>(user_data);
}

int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
             size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
             void* user_data) {
  ClientResponse& response = Self(user_data)->response(frame->hd.stream_id);
  std::string field(reinterpret_cast<const char*>(name), name_size);
  std::string text(reinterpret_cast<const char*>(value), value_size);
  if (frame->headers.cat == NGHTTP2_HCAT_RESPONSE) {
    response.headers[field] = text;
  } else {
    response.trailers[field] = text;
  }
  return 0;
}

int OnData(nghttp2_session*, uint8_t, int32_t stream_id, const uint8_t* data,
           size_t size, void* user_data) {
  ClientResponse& response = Self(user_data)->response(stream_id);
  response.body.append(reinterpret_cast<const char*>(data), size);
  response.has_body = true;
  return 0;
}

int OnClose(nghttp2_session*, int32_t stream_id, uint32_t error_code,
            void* user_data) {
  ClientResponse& response = Self(user_data)->response(stream_id);
  response.closed = true;
  response.error_code = error_code;
  return 0;
}

int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
  Http2Client* self = Self(user_data);
  if (frame->hd.type == NGHTTP2_GOAWAY) {
    self->goaway = true;
    self->goaway_code = frame->goaway.error_code;
    self->goaway_last_stream = frame->goaway.last_stream_id;
  }
  if (frame->hd.type == NGHTTP2_SETTINGS) {
    for (size_t i = 0; i < frame->settings.niv; ++i) {
      const nghttp2_settings_entry& entry = frame->settings.iv[i];
      if (entry.settings_id == NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) {
        self->max_concurrent_streams = entry.value;
      }
      if (entry.settings_id == NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE) {
        self->max_header_list = entry.value;
      }
    }
  }
  return 0;
}

}  // namespace

Http2Client::Http2Client(int32_t window) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, &OnHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &OnData);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &OnClose);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &OnFrame);
  nghttp2_session_client_new(&session_, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  if (window >= 0) {
    nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
                                    static_cast<uint32_t>(window)};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &entry, 1);
  } else {
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
  }
}

Http2Client::~Http2Client() {
  nghttp2_session_del(session_);
  for (Upload* upload : uploads_) delete upload;
}

ssize_t Http2Client::ReadUpload(nghttp2_session*, int32_t, uint8_t* buffer,
                                size_t length, uint32_t* flags,
                                nghttp2_data_source* source, void*) {
  Upload* upload = static_cast<Upload*>(source->ptr);
  size_t left = upload->bytes.size() - upload->sent;
  if (left == 0 && !upload->finish) return NGHTTP2_ERR_DEFERRED;
  size_t taken = std::min(left, length);
  std::memcpy(buffer, upload->bytes.data() + upload->sent, taken);
  upload->sent += taken;
  if (taken == left && upload->finish) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(taken);
}

int32_t Http2Client::Post(std::string_view path, const Fields& fields,
                          std::string_view body, bool finish) {
  Fields all = {{":method", "POST"},
                {":scheme", "http"},
                {":path", std::string(path)},
                {":authority", "localhost"}};
  all.insert(all.end(), fields.begin(), fields.end());
  std::vector<nghttp2_nv> list;
  for (auto& [name, value] : all) {
    list.push_back({reinterpret_cast<uint8_t*>(name.data()),
                    reinterpret_cast<uint8_t*>(value.data()), name.size(),
                    value.size(), NGHTTP2_NV_FLAG_NONE});
  }
  Upload* upload = new Upload{std::string(body), 0, finish};
  uploads_.push_back(upload);
  nghttp2_data_provider provider;
  provider.source.ptr = upload;
  provider.read_callback = &ReadUpload;
  int32_t id = nghttp2_submit_request(session_, nullptr, list.data(),
                                      list.size(), &provider, nullptr);
  responses_[id];
  return id;
}

void Http2Client::Reset(int32_t id, uint32_t code) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, code);
}

void Http2Client::WindowUpdate(int32_t id, int32_t increment) {
  nghttp2_submit_window_update(session_, NGHTTP2_FLAG_NONE, id, increment);
}

std::string Http2Client::TakeOutput() {
  std::string out;
  while (true) {
    const uint8_t* data = nullptr;
    ssize_t size = nghttp2_session_mem_send(session_, &data);
    if (size <= 0) return out;
    out.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
  }
}

bool Http2Client::Feed(std::string_view bytes) {
  return nghttp2_session_mem_recv(
             session_, reinterpret_cast<const uint8_t*>(bytes.data()),
             bytes.size()) == static_cast<ssize_t>(bytes.size());
}

bool Http2Client::AllClosed() const {
  return std::all_of(responses_.begin(), responses_.end(),
                     [](const auto& entry) { return entry.second.closed; });
}

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream_id,
                  std::string_view payload) {
  std::string out;
  for (int shift = 16; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(payload.size() >> shift));
  }
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  for (int shift = 24; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(stream_id >> shift));
  }
  out.append(payload);
  return out;
}

std::string Preface() {
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Frame(NGHTTP2_SETTINGS, 0, 0, "");
}

std::string LiteralBlock(const Fields& fields) {
  std::string out;
  // An integer with a prefix of 7 bits (RFC 7541, 5.1).
  auto append_string = [&out](const std::string& text) {
    if (text.size() < 127) {
      out.push_back(static_cast<char>(text.size()));
    } else {
      out.push_back(127);
      size_t rest = text.size() - 127;
      for (; rest >= 128; rest /= 128) {
        out.push_back(static_cast<char>(rest % 128 + 128));
      }
      out.push_back(static_cast<char>(rest));
    }
    out.append(text);
  };
  for (const auto& [name, value] : fields) {
    out.push_back(0);
    append_string(name);
    append_string(value);
  }
  return out;
}

Fields GrpcFields(std::string_view path) {
  return {{":method", "POST"},
          {":scheme", "http"},
          {":path", std::string(path)},
          {":authority", "localhost"},
          {"content-type", "application/grpc+proto"},
          {"te", "trailers"}};
}

}  // namespace http_testing
