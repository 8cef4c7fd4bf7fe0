#include "cql/protocol/wire.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cql/protocol/absl_text.h"

namespace cql::protocol {

absl::Status Reader::status(std::string_view what) const {
  if (ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(AbslText(what), ": ", failed_, " at byte ", failed_at_,
                   " of ", end_ - begin_, " is wrong or cut off"));
}

Writer::Writer(std::string* out)
    : begin_(out->data()),
      cursor_(out->data() + out->size()),
      end_(out->data() + out->size()),
      string_(out),
      offset_(out->size()) {}

void Writer::Finish() {
  if (string_ == nullptr) return;
  string_->resize(static_cast<size_t>(cursor_ - begin_));
}

char* Writer::ExtendSlow(size_t count) {
  if (string_ == nullptr) {
    dropped_ += count;
    return nullptr;
  }
  const size_t used = static_cast<size_t>(cursor_ - begin_);
  const size_t needed = used + count;
  // First what is there already, then twice as much.
  size_t grown = std::max(needed, string_->capacity());
  if (needed > string_->capacity()) {
    grown = std::max({needed, 2 * string_->capacity(), size_t{256}});
  }
  string_->resize(grown);
  begin_ = string_->data();
  cursor_ = begin_ + used;
  end_ = begin_ + grown;
  char* p = cursor_;
  cursor_ += count;
  return p;
}

}  // namespace cql::protocol
