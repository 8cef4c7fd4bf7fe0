// Records out of rows.
#ifndef RINGPLANE_SERVICE_DATAPLANE_RECORDS_H_
#define RINGPLANE_SERVICE_DATAPLANE_RECORDS_H_

#include <cstddef>

#include "cql/rows.h"
#include "proto/bsky.pb.h"
#include "proto/cache.pb.h"

namespace dataplane {

// What a caller is given for a record that does not exist: JSON `null`.
void SetMissingRecord(bsky::Record* record);

// Reads the columns that RecordColumns names, the first of them at `column`.
// A row without a CID is no record.
void FillRecord(const cql::Row& row, size_t column, bsky::Record* record);

// Reads RecordColumns and PostColumns. The uri is not among them.
void FillPost(const cql::Row& row, ringplane::cache::CachedPost* post);

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_RECORDS_H_
