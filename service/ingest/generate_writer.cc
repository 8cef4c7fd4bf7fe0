#include "service/ingest/generate_writer.h"

#include "service/ingest/generate_text.h"

namespace ingest {

void EventWriter::AddQuoted(std::string_view text) {
  AppendJsonString(text, &record_);
}

void EventWriter::AddUri(const RecordName& name, std::string_view collection) {
  Add("at://", Did(name.author).view(), "/", collection, "/",
      Rkey(name).view());
}

void EventWriter::AddRef(const RecordName& name, std::string_view collection,
                         const CidText& cid) {
  Add("{\"cid\":\"", cid.view(), "\",\"uri\":\"");
  AddUri(name, collection);
  Add("\"}");
}

void EventWriter::AddBlob(uint64_t content, std::string_view type) {
  CidText cid =
      MakeBlobCid({reinterpret_cast<const char*>(&content), sizeof(content)});
  Add("{\"$type\":\"blob\",\"ref\":{\"$link\":\"", cid.view(),
      "\"},\"mimeType\":\"", type, "\",\"size\":", 1000 + content % 900000,
      "}");
}

void EventWriter::Head(const DidText& did, std::string_view kind) {
  Append(out_, "{\"did\":\"", did.view(), "\",\"time_us\":", time_us_,
         ",\"kind\":\"", kind, "\",");
}

CidText EventWriter::Commit(uint32_t user, CommitOperation operation,
                            std::string_view rkey) {
  TidText tid = Rkey({user, time_us_});
  CidText cid = MakeRecordCid(record_);
  Head(Did(user), "commit");
  Append(out_, "\"commit\":{\"rev\":\"", tid.view(), "\",\"operation\":\"",
         CommitOperationName(operation), "\",\"collection\":\"", collection_,
         "\",\"rkey\":\"", rkey.empty() ? tid.view() : rkey,
         "\",\"record\":", record_, ",\"cid\":\"", cid.view(), "\"}}\n");
  return cid;
}

void EventWriter::CommitDelete(const RecordName& name,
                               std::string_view collection) {
  Head(Did(name.author), "commit");
  Append(out_, "\"commit\":{\"rev\":\"", Rkey({name.author, time_us_}).view(),
         "\",\"operation\":\"delete\",\"collection\":\"", collection,
         "\",\"rkey\":\"", Rkey(name).view(), "\"}}\n");
}

void EventWriter::Identity(uint32_t user, std::string_view handle) {
  DidText did = Did(user);
  Head(did, "identity");
  Append(out_, "\"identity\":{\"did\":\"", did.view(), "\",\"handle\":\"",
         handle, "\",\"seq\":", sequence_, ",\"time\":\"",
         MakeTimestamp(time_us_).view(), "\"}}\n");
}

void EventWriter::Account(uint32_t user, bool active) {
  DidText did = Did(user);
  Head(did, "account");
  Append(out_, "\"account\":{\"active\":", active ? "true" : "false",
         ",\"did\":\"", did.view(), "\",\"seq\":", sequence_,
         active ? "" : ",\"status\":\"deactivated\"", ",\"time\":\"",
         MakeTimestamp(time_us_).view(), "\"}}\n");
}

}  // namespace ingest
