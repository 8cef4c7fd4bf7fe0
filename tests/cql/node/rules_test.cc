#include "cql/node/rules.h"

#include "gtest/gtest.h"

namespace cql::node {
namespace {

Rules::Subject Request(protocol::Opcode opcode, std::string_view body = "") {
  Rules::Subject subject;
  subject.opcode = opcode;
  subject.body = body;
  return subject;
}

TEST(RulesTest, FireOnTheNthMatchAndAsOftenAsToldTo) {
  Rules rules;
  EXPECT_TRUE(rules.empty());
  Rule rule;
  rule.opcode = protocol::Opcode::kExecute;
  rule.nth = 2;
  rule.times = 2;
  const Rules::Id id = rules.Add(rule);
  EXPECT_FALSE(rules.empty());
  const auto fires = [&](protocol::Opcode opcode) {
    return rules.Match(Request(opcode)) != nullptr;
  };
  EXPECT_FALSE(fires(protocol::Opcode::kExecute));
  EXPECT_FALSE(fires(protocol::Opcode::kQuery));
  EXPECT_TRUE(fires(protocol::Opcode::kExecute));
  EXPECT_TRUE(fires(protocol::Opcode::kExecute));
  EXPECT_FALSE(fires(protocol::Opcode::kExecute));
  EXPECT_EQ(rules.fired(id), 2u);
  rules.Remove(id);
  EXPECT_TRUE(rules.empty());
}

TEST(RulesTest, FireForEverWithTimesZero) {
  Rules rules;
  Rule rule;
  rule.times = 0;
  rules.Add(rule);
  for (int i = 0; i < 100; ++i) {
    EXPECT_NE(rules.Match(Request(protocol::Opcode::kQuery)), nullptr);
  }
}

TEST(RulesTest, LookIntoBodiesAndIntoTheTextOfStatements) {
  Rules rules;
  Rule rule;
  rule.contains = "needle";
  rule.times = 0;
  rules.Add(rule);
  EXPECT_EQ(rules.Match(Request(protocol::Opcode::kQuery, "hay")), nullptr);
  EXPECT_NE(rules.Match(Request(protocol::Opcode::kQuery, "a needle")),
            nullptr);
  Rules::Subject execute = Request(protocol::Opcode::kExecute, "id");
  execute.text = "SELECT needle";
  EXPECT_NE(rules.Match(execute), nullptr);
}

TEST(RulesTest, TellConnectionsShardsAndPortsApart) {
  Rules rules;
  Rule rule;
  rule.on = Rule::On::kConnect;
  rule.connection = 7;
  rule.shard = 1;
  rule.shard_aware_port = true;
  rule.times = 0;
  rules.Add(rule);
  Rules::Subject subject;
  subject.on = Rule::On::kConnect;
  subject.connection = 7;
  subject.shard = 1;
  subject.shard_aware_port = true;
  EXPECT_NE(rules.Match(subject), nullptr);
  for (const auto& change : std::vector<void (*)(Rules::Subject*)>{
           [](Rules::Subject* s) { s->connection = 8; },
           [](Rules::Subject* s) { s->shard = 0; },
           [](Rules::Subject* s) { s->shard_aware_port = false; },
           [](Rules::Subject* s) { s->on = Rule::On::kRequest; }}) {
    Rules::Subject other = subject;
    change(&other);
    EXPECT_EQ(rules.Match(other), nullptr);
  }
}

TEST(RulesTest, AreTriedInTheirOrder) {
  Rules rules;
  Rule first;
  first.action = Rule::Action::kDrop;
  rules.Add(first);
  Rule second;
  second.action = Rule::Action::kClose;
  rules.Add(second);
  EXPECT_EQ(rules.Match(Request(protocol::Opcode::kQuery))->action,
            Rule::Action::kDrop);
  EXPECT_EQ(rules.Match(Request(protocol::Opcode::kQuery))->action,
            Rule::Action::kClose);
  EXPECT_EQ(rules.Match(Request(protocol::Opcode::kQuery)), nullptr);
}

}  // namespace
}  // namespace cql::node
