#include "service/app/command_line.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

ABSL_FLAG(std::string, config, "", "A file of flags.");
ABSL_FLAG(std::string, fruit, "apple", "Which fruit.");
ABSL_FLAG(int32_t, count, 3, "How many.");
ABSL_FLAG(bool, ripe, false, "Whether they are ripe.");
ABSL_FLAG(bool, nothing, false, "Starts with no.");
ABSL_FLAG(absl::Duration, wait, absl::Seconds(1), "How long.");
ABSL_FLAG(std::string, other, "", "Of the other command.");
ABSL_FLAG(std::vector<std::string>, list, {}, "Several.");

namespace app {
namespace {

const FlagGroup kFruit = {
    "Fruit", {"config", "fruit", "count", "ripe", "nothing", "wait", "list"}};
const FlagGroup kOther = {"Other", {"config", "other"}};

int ran = 0;

class CommandLineTest : public testing::Test {
 protected:
  CommandLineTest() {
    char path[] = "/tmp/command_line_test.XXXXXX";
    folder_ = mkdtemp(path);
    ran = 0;
  }
  ~CommandLineTest() override { std::filesystem::remove_all(folder_); }

  // The arguments that are left, or the error.
  std::string Parse(const std::vector<std::string>& arguments) {
    absl::StatusOr<std::vector<std::string>> rest =
        ParseFlags(commands_[0], commands_, arguments);
    if (!rest.ok()) {
      EXPECT_TRUE(absl::IsInvalidArgument(rest.status()));
      std::string message(rest.status().message());
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      return "error: " + message;
    }
    std::string out;
    for (const std::string& text : *rest) out += "<" + text + ">";
    return out;
  }
  std::string Config(std::string_view text) {
    std::string path = folder_ + "/flags";
    std::ofstream(path) << text;
    return "--config=" + path;
  }

  absl::FlagSaver saver_;
  std::string folder_;
  const std::vector<Command> commands_ = {
      {"eat",
       "FILE",
       "Eats fruit.",
       {&kFruit},
       [](std::span<const std::string>) { return ++ran; }},
      {"drop",
       "",
       "Drops it.",
       {&kOther},
       [](std::span<const std::string>) { return 10 + ++ran; }},
  };
};

TEST_F(CommandLineTest, SetsFlagsInEveryForm) {
  EXPECT_EQ(Parse({"a", "--fruit=pear", "-", "--count", "7", "-ripe", "b"}),
            "<a><-><b>");
  EXPECT_EQ(absl::GetFlag(FLAGS_fruit), "pear");
  EXPECT_EQ(absl::GetFlag(FLAGS_count), 7);
  EXPECT_TRUE(absl::GetFlag(FLAGS_ripe));
  EXPECT_EQ(Parse({"--noripe", "--fruit=", "--wait=1500ms", "--list=a,b"}), "");
  EXPECT_FALSE(absl::GetFlag(FLAGS_ripe));
  EXPECT_EQ(absl::GetFlag(FLAGS_fruit), "");
  EXPECT_EQ(absl::GetFlag(FLAGS_wait), absl::Milliseconds(1500));
  EXPECT_EQ(absl::GetFlag(FLAGS_list).size(), 2u);
  EXPECT_EQ(Parse({"--nothing", "--", "--fruit=x"}), "<--fruit=x>");
  EXPECT_TRUE(absl::GetFlag(FLAGS_nothing));
  EXPECT_EQ(Parse({"--nonothing"}), "");
  EXPECT_FALSE(absl::GetFlag(FLAGS_nothing));
}

TEST_F(CommandLineTest, SaysWhichFlagIsWrongAndWhy) {
  EXPECT_EQ(Parse({"--froot=x"}),
            "error: --froot: unknown flag; see ringplane eat --help");
  EXPECT_EQ(Parse({"--other=x"}),
            "error: --other: not a flag of eat, but of drop");
  EXPECT_EQ(Parse({"--count"}), "error: --count: has no value");
  EXPECT_EQ(Parse({"--nofruit"}),
            "error: --nofruit: unknown flag; see ringplane eat --help");
  EXPECT_EQ(Parse({"--count=many"}).substr(0, 41),
            "error: --count=many: not a valid value");
  EXPECT_EQ(Parse({"--wait=5"}).substr(0, 37),
            "error: --wait=5: not a valid value");
  EXPECT_EQ(Parse({"--ripe=perhaps"}).substr(0, 43),
            "error: --ripe=perhaps: not a valid value");
}

// What is wrong sets nothing, wherever it stands.
TEST_F(CommandLineTest, TheLineGoesOverTheFile) {
  std::string config = Config(
      "# Fruit.\n\n  fruit = plum  \n--count=9\nripe\nother=x\nwait=2s\n");
  EXPECT_EQ(Parse({"--count=4", config}), "");
  EXPECT_EQ(absl::GetFlag(FLAGS_fruit), "plum");
  EXPECT_EQ(absl::GetFlag(FLAGS_count), 4);
  EXPECT_TRUE(absl::GetFlag(FLAGS_ripe));
  EXPECT_EQ(absl::GetFlag(FLAGS_other), "x");
  EXPECT_EQ(absl::GetFlag(FLAGS_wait), absl::Seconds(2));
}

TEST_F(CommandLineTest, NamesTheLineOfTheFile) {
  const std::string path = folder_ + "/flags";
  EXPECT_EQ(Parse({Config("fruit=a\n\nfroot=b\n")}),
            "error: " + path + ":3: unknown flag froot");
  EXPECT_EQ(Parse({Config("count\n")}),
            "error: " + path + ":1: count has no value");
  EXPECT_EQ(Parse({Config("config=x\n")}),
            "error: " + path + ":1: unknown flag config");
  std::string bad = Parse({Config("count=x\n")});
  EXPECT_EQ(bad.substr(0, 7 + path.size() + 2), "error: " + path + ":1");
  EXPECT_EQ(Parse({"--config=" + folder_ + "/none"}),
            "error: --config=" + folder_ + "/none: No such file or directory");
}

TEST_F(CommandLineTest, HelpHasEveryFlagWithItsDefault) {
  std::string help = CommandHelp(commands_[0]);
  EXPECT_NE(help.find("Usage: ringplane eat [flags] FILE"), std::string::npos);
  EXPECT_NE(help.find("--fruit=apple\n      Which fruit."), std::string::npos);
  EXPECT_NE(help.find("--count=3"), std::string::npos);
  EXPECT_NE(help.find("--[no]ripe (false)"), std::string::npos);
  EXPECT_NE(help.find("--wait=1s"), std::string::npos);
  EXPECT_EQ(help.find("--other"), std::string::npos);
  std::string program = ProgramHelp(commands_);
  EXPECT_NE(program.find("eat       Eats fruit."), std::string::npos);
}

TEST_F(CommandLineTest, RunsTheCommandAndSaysItsStatus) {
  EXPECT_EQ(RunCommand(commands_, std::vector<std::string>{"eat", "x"}), 1);
  EXPECT_EQ(RunCommand(commands_, std::vector<std::string>{"drop"}), 12);
  EXPECT_EQ(RunCommand(commands_, std::vector<std::string>{}), kExitUsage);
  EXPECT_EQ(RunCommand(commands_, std::vector<std::string>{"cook"}),
            kExitUsage);
  EXPECT_EQ(RunCommand(commands_, std::vector<std::string>{"drop", "x"}),
            kExitUsage);
  EXPECT_EQ(RunCommand(commands_, std::vector<std::string>{"eat", "--x"}),
            kExitUsage);
  EXPECT_EQ(ran, 2);
  for (std::vector<std::string> help :
       {std::vector<std::string>{"--help"}, {"eat", "x", "--help"}, {"-h"}}) {
    EXPECT_EQ(RunCommand(commands_, help), kExitOk);
  }
  EXPECT_EQ(ran, 2);
}

}  // namespace
}  // namespace app
