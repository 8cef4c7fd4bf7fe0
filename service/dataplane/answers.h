// Answers that are positional: one for each key of the request, repeats
// included.
#ifndef RINGPLANE_SERVICE_DATAPLANE_ANSWERS_H_
#define RINGPLANE_SERVICE_DATAPLANE_ANSWERS_H_

#include <vector>

#include "google/protobuf/repeated_field.h"
#include "service/dataplane/key_set.h"

namespace dataplane {

// Appends for each of `keys` the answer of its distinct key.
template <typename Keys, typename Message>
void Spread(const Keys& keys, const KeySet& distinct,
            std::vector<Message>* answers,
            google::protobuf::RepeatedPtrField<Message>* out) {
  out->Reserve(keys.size());
  if (static_cast<size_t>(keys.size()) == distinct.size()) {
    for (Message& answer : *answers) out->Add()->Swap(&answer);
    return;
  }
  for (const auto& key : keys) {
    *out->Add() = (*answers)[distinct.IndexOf(key)];
  }
}

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_ANSWERS_H_
