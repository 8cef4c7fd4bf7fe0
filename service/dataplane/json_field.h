// One field of a record's JSON.
#ifndef RINGPLANE_SERVICE_DATAPLANE_JSON_FIELD_H_
#define RINGPLANE_SERVICE_DATAPLANE_JSON_FIELD_H_

#include <string>
#include <string_view>

namespace dataplane {

// The string that the object `json` has as `field`; "" if there is none, or
// `json` is no object.
std::string JsonStringField(std::string_view json, const char* field);

// Appends `text` as a JSON string with its quotes. Bytes that are not UTF-8
// become U+FFFD.
void AppendJsonString(std::string_view text, std::string* out);

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_JSON_FIELD_H_
