#include "ioloop/socket_address.h"

#include <string>

#include "absl/hash/hash_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ioloop {
namespace {

using ::testing::HasSubstr;

TEST(SocketAddressTest, ParsesWhatItPrints) {
  for (const char* text :
       {"127.0.0.1:9042", "[::1]:0", "[2001:db8::5]:65535", "0.0.0.0:1",
        "unix:/run/ringplane.sock", "unix:@abstract"}) {
    absl::StatusOr<SocketAddress> address = SocketAddress::Parse(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->ToString(), text);
  }
}

TEST(SocketAddressTest, RefusesWithTheReason) {
  struct Case {
    const char* text;
    const char* reason;
  };
  for (const Case& c : {Case{"", "no port"},
                        {"127.0.0.1", "no port"},
                        {"127.0.0.1:", "not a number"},
                        {"127.0.0.1:65536", "not a number"},
                        {"127.0.0.1:+80", "not a number"},
                        {"127.0.0.1: 80", "not a number"},
                        {"127.0.0.1:99999999999999999999", "not a number"},
                        {":80", "no host"},
                        {"[::1:80", "bracket"},
                        {"::1:80", "[address]:port"},
                        {"[]:80", "no host"},
                        {"localhost:80", "not an IPv4 or IPv6"},
                        {"1.2.3:80", "not an IPv4 or IPv6"},
                        {"unix:", "needs a path"},
                        {"unix:@", "needs a path"}}) {
    absl::StatusOr<SocketAddress> address = SocketAddress::Parse(c.text);
    EXPECT_EQ(address.status().code(), absl::StatusCode::kInvalidArgument)
        << c.text;
    EXPECT_THAT(address.status().ToString(), HasSubstr(c.reason)) << c.text;
  }
  EXPECT_FALSE(SocketAddress::Unix(std::string(200, 'x')).ok());
  EXPECT_FALSE(SocketAddress::Unix(std::string("a\0b", 3)).ok());
  EXPECT_FALSE(SocketAddress::FromIp(std::string("1.1.1.1\0", 8), 1).ok());
  // A long text is not repeated in full.
  EXPECT_LT(
      SocketAddress::Parse(std::string(100000, 'x')).status().message().size(),
      300u);
}

TEST(SocketAddressTest, BytesAreNetworkOrder) {
  auto v4 = SocketAddress::FromBytes(std::string("\x0a\x01\x02\x03", 4), 7);
  ASSERT_TRUE(v4.ok());
  EXPECT_EQ(v4->ToString(), "10.1.2.3:7");
  EXPECT_EQ(v4->IpBytes(), std::string("\x0a\x01\x02\x03", 4));
  std::string sixteen(16, '\0');
  sixteen[15] = 1;
  auto v6 = SocketAddress::FromBytes(sixteen, 8);
  ASSERT_TRUE(v6.ok());
  EXPECT_EQ(v6->ToString(), "[::1]:8");
  EXPECT_TRUE(v6->is_loopback());
  EXPECT_EQ(v6->IpBytes(), sixteen);
  EXPECT_FALSE(SocketAddress::FromBytes("12345", 1).ok());
  EXPECT_FALSE(SocketAddress::FromBytes("", 1).ok());
}

TEST(SocketAddressTest, ComparesAndHashesByValue) {
  const SocketAddress a = SocketAddress::Loopback(80);
  EXPECT_EQ(a.WithPort(81).WithPort(80), a);
  EXPECT_FALSE(a == a.WithPort(81));
  EXPECT_EQ(a.port(), 80);
  EXPECT_EQ(a.HostString(), "127.0.0.1");
  EXPECT_EQ(SocketAddress().ToString(), "(none)");
  EXPECT_TRUE(absl::VerifyTypeImplementsAbslHashCorrectly(
      {a, a.WithPort(81), SocketAddress(), SocketAddress::Any(80),
       *SocketAddress::Unix("/x"), *SocketAddress::Unix("@x")}));
}

TEST(SocketAddressTest, KernelAddressesOfAnyLengthAreSafe) {
  sockaddr_un un = {};
  un.sun_family = AF_UNIX;
  const auto* raw = reinterpret_cast<const sockaddr*>(&un);
  EXPECT_EQ(SocketAddress::FromSockaddr(raw, sizeof(sa_family_t)).ToString(),
            "unix:(unnamed)");
  EXPECT_EQ(SocketAddress::FromSockaddr(raw, 1).ToString(), "(none)");
  sockaddr other = {};
  other.sa_family = AF_NETLINK;
  EXPECT_EQ(SocketAddress::FromSockaddr(&other, sizeof(other)).family(),
            AF_UNSPEC);
}

TEST(HostPortTest, KeepsNames) {
  absl::StatusOr<HostPort> parts = ParseHostPort("db.example:9042");
  ASSERT_TRUE(parts.ok());
  EXPECT_EQ(parts->host, "db.example");
  EXPECT_EQ(parts->port, 9042);
}

}  // namespace
}  // namespace ioloop
