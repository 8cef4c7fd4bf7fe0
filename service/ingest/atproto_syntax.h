// The identifier grammars of AT Protocol, as predicates on text. Each accepts
// exactly what the protocol's specification allows, lengths included, and
// looks nothing up.
#ifndef RINGPLANE_SERVICE_INGEST_ATPROTO_SYNTAX_H_
#define RINGPLANE_SERVICE_INGEST_ATPROTO_SYNTAX_H_

#include <string_view>

namespace ingest {

// "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:web:example.com".
bool IsDid(std::string_view text);

// "app.bsky.feed.post".
bool IsNsid(std::string_view text);

// The last part of a record's URI: "3jhb2knk7yc2k", "self".
bool IsRecordKey(std::string_view text);

// A CIDv1 in base32, as records and their links carry it: "bafyrei…".
bool IsCid(std::string_view text);

// A domain name of at least two labels. Handles compare without case.
bool IsHandle(std::string_view text);

// Whether records of this collection are served: one of the 19 collections
// that the AppView indexes.
bool IsServedCollection(std::string_view nsid);

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_ATPROTO_SYNTAX_H_
