// Boost.Beast and not cpp-httplib: CONTRIBUTING.md says why.
#include "fovea/apps/http_server.h"

#include <spdlog/spdlog.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>

#include "fovea/apps/http_query.h"
#include "fovea/apps/worker_pool.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Parser = http::request_parser<http::vector_body<uint8_t>>;
using Tcp = asio::ip::tcp;

constexpr uint32_t longest_head = 16 << 10;  // bytes of a request's line and headers
constexpr auto linger = std::chrono::seconds(2);
constexpr auto retry_after = std::chrono::milliseconds(100);
constexpr std::string_view continue_line = "HTTP/1.1 100 Continue\r\n\r\n";

// No script, style or picture but the page's own, in no frame; bytes are what their type says; nothing is kept.
constexpr std::pair<const char*, const char*> safety_headers[] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; "
     "form-action 'none'; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cache-Control", "no-store"}};

std::string_view text_of(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

bool is_address(const std::string& host) {
  error_code error;
  asio::ip::make_address(host, error);
  return !error;
}

// "[::1]:8080" → "::1", "localhost:8080" → "localhost"
std::string without_port(std::string_view host) {
  if (!host.starts_with('[')) return std::string(host.substr(0, host.find(':')));
  const size_t end = host.find(']');
  return end == std::string_view::npos ? "" : std::string(host.substr(1, end - 1));
}

}  // namespace

struct HttpServer::State {
  State(const HttpOptions& given, std::vector<HttpRoute> rows)
      : options(given), routes(std::move(rows)), acceptor(io), clock(io), pool(given.workers, given.queue) {}

  void listen();
  void accept();
  void watch(const std::atomic<bool>& stop);

  HttpOptions options;
  std::vector<HttpRoute> routes;
  asio::io_context io{1};
  Tcp::acceptor acceptor;
  asio::steady_timer clock;
  std::set<HttpConnection*> open;  // of the thread of run() alone, as all of this but the pool
  bool stopping = false;
  WorkerPool pool;  // last, so that it ends first: what it still does uses the rest
};

// One client, request after request.
class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(Tcp::socket socket, HttpServer::State& server)
      : server_(server), socket_(std::move(socket)), timer_(server.io) {}

  void start() {
    server_.open.insert(this);
    error_code error;
    socket_.set_option(Tcp::no_delay(true), error);
    const auto peer = socket_.remote_endpoint(error);
    if (!error) peer_ = peer.address().to_string();
    if (server_.open.size() > static_cast<size_t>(server_.options.connections)) {
      return answer(http_error(503, "too many connections"), /*keep=*/false);
    }
    await_request();
  }

  // Ends it now where nothing is being answered, else with that answer.
  void stop() {
    if (!answering_) close();
  }

 private:
  // The time for a request counts from its first byte; before, the connection may be idle as long again.
  void await_request() {
    answering_ = false;
    if (server_.stopping) return close();
    if (buffer_.size() > 0) return read_head();  // sent without waiting for the last answer
    allow(std::chrono::seconds(server_.options.seconds));
    socket_.async_wait(Tcp::socket::wait_read, [self = shared_from_this()](error_code error) {
      if (error) return self->close();
      self->read_head();
    });
  }

  void read_head() {
    parser_.emplace();
    parser_->header_limit(longest_head);
    parser_->body_limit(static_cast<uint64_t>(server_.options.max_body));
    name_.clear();
    begin_ = Clock::now();
    allow(std::chrono::seconds(server_.options.seconds));
    http::async_read_header(socket_, buffer_, *parser_, [self = shared_from_this()](error_code error, size_t) {
      if (error) return self->fail_reading(error);
      self->judge_head();
    });
  }

  void judge_head() {
    const auto& head = parser_->get();
    name_ = fmt::format("{} {}", text_of(head.method_string()), printable(text_of(head.target())));
    const bool whole = parser_->is_done();  // has no body
    if (auto refused = refusal(head)) return answer(std::move(*refused), whole && head.keep_alive());
    if (whole) return dispatch();
    if (!boost::beast::iequals(head[http::field::expect], "100-continue")) return read_body();
    asio::async_write(socket_, asio::buffer(continue_line), [self = shared_from_this()](error_code error, size_t) {
      if (error) return self->close();
      self->read_body();
    });
  }

  void read_body() {
    http::async_read(socket_, buffer_, *parser_, [self = shared_from_this()](error_code error, size_t) {
      if (error) return self->fail_reading(error);
      self->dispatch();
    });
  }

  // What can be said without the body.
  std::optional<HttpAnswer> refusal(const Parser::value_type& head) {
    if (head.count(http::field::host) != 1) return http_error(400, "the header Host is missing");
    const std::string host(text_of(head[http::field::host])), name = without_port(host);
    if (!is_address(name) && !boost::beast::iequals(name, "localhost") && name != server_.options.host) {
      return http_error(403, fmt::format("Host {}: not a name of this server", printable(host)));
    }
    const auto origin = head.find(http::field::origin);
    if (origin != head.end() && text_of(origin->value()) != "http://" + host) {
      return http_error(403, "Origin: requests of other sites are not answered");
    }
    const auto coding = head[http::field::transfer_encoding];
    if (!coding.empty() && !boost::beast::iequals(coding, "chunked")) {
      return http_error(501, "Transfer-Encoding: only chunked is read");
    }
    const auto packing = head[http::field::content_encoding];
    if (!packing.empty() && !boost::beast::iequals(packing, "identity")) {
      return http_error(415, "Content-Encoding: send the image as it is");
    }
    return find_route(head);
  }

  // Sets route_.
  std::optional<HttpAnswer> find_route(const Parser::value_type& head) {
    const std::string_view target = text_of(head.target()), path = target.substr(0, target.find('?'));
    const auto method = head.method() == http::verb::head ? "GET" : text_of(head.method_string());
    std::string allowed;
    for (const HttpRoute& route : server_.routes) {
      if (route.path != path) continue;
      if (route.method == method) {
        route_ = &route;
        return std::nullopt;
      }
      allowed += (allowed.empty() ? "" : ", ") + (route.method == "GET" ? "GET, HEAD" : route.method);
    }
    if (allowed.empty()) return http_error(404, "no such path; there are / and what docs/serve.md lists");
    HttpAnswer refused = http_error(405, "this path takes " + allowed);
    refused.headers.emplace_back("Allow", allowed);
    return refused;
  }

  void dispatch() {
    answering_ = true;
    allow_any_time();
    const auto& head = parser_->get();
    const std::string_view target = text_of(head.target());
    const size_t mark = std::min(target.find('?'), target.size());
    auto query = parse_query(target.substr(std::min(mark + 1, target.size())));
    if (!query) return answer(http_error(400, "the query is no list of name=value, each once"), head.keep_alive());
    auto request =
        std::make_shared<HttpRequest>(HttpRequest{.path = std::string(target.substr(0, mark)),
                                                  .query = std::move(*query),
                                                  .content_type = std::string(text_of(head[http::field::content_type])),
                                                  .body = std::move(parser_->get().body())});
    if (!route_->works) return answer(route_->answer(*request), head.keep_alive());
    const auto late = Clock::now() + std::chrono::seconds(server_.options.seconds);
    const bool taken = server_.pool.submit([self = shared_from_this(), request, late] {
      HttpAnswer made = Clock::now() > late ? busy() : self->route_->answer(*request);
      asio::post(self->server_.io, [self, made = std::move(made)]() mutable {
        self->answer(std::move(made), self->parser_->get().keep_alive());
      });
    });
    if (!taken) answer(busy(), head.keep_alive());
  }

  static HttpAnswer busy() {
    HttpAnswer answer = http_error(503, "busy: as many requests wait as may; try again");
    answer.headers.emplace_back("Retry-After", "1");
    return answer;
  }

  void answer(HttpAnswer made, bool keep) {
    answering_ = true;
    keep = keep && !server_.stopping;
    const bool bodiless = parser_ && parser_->get().method() == http::verb::head;
    log(made.status);
    response_ = http::response<http::string_body>();
    response_.result(static_cast<unsigned>(made.status));
    response_.version(11);
    response_.set(http::field::content_type, made.content_type);
    for (const auto& [name, value] : safety_headers) response_.set(name, value);
    for (const auto& [name, value] : made.headers) response_.set(name, value);
    response_.keep_alive(keep);
    response_.content_length(made.body.size());
    if (!bodiless) response_.body() = std::move(made.body);
    allow(std::chrono::seconds(server_.options.seconds));
    http::async_write(socket_, response_, [self = shared_from_this(), keep](error_code error, size_t) {
      if (error) return self->close();
      if (keep) return self->await_request();
      self->finish();
    });
  }

  // Closing with bytes unread would make the client lose the answer: what still comes is read for a while.
  void finish() {
    error_code error;
    socket_.shutdown(Tcp::socket::shutdown_send, error);
    allow(linger);
    discard();
  }
  void discard() {
    buffer_.clear();
    socket_.async_read_some(buffer_.prepare(longest_head), [self = shared_from_this()](error_code error, size_t) {
      if (error || self->timed_out_) return self->close();
      self->discard();
    });
  }

  void fail_reading(error_code error) {
    const bool mistaken = error.category() == http::make_error_code(http::error::bad_method).category();
    if (timed_out_) return answer(http_error(408, "the request took too long to come"), /*keep=*/false);
    if (!mistaken || error == http::error::end_of_stream || error == http::error::partial_message) return close();
    if (error == http::error::body_limit) {
      const auto most = static_cast<double>(server_.options.max_body) / 1e6;
      return answer(http_error(413, fmt::format("a body of over {:.3g} MB (--max-upload)", most)), /*keep=*/false);
    }
    if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      return answer(http_error(431, "headers of over 16 kB"), /*keep=*/false);
    }
    answer(http_error(400, "not HTTP: " + printable(error.message())), /*keep=*/false);
  }

  // What is under way is given up after that time.
  void allow(Clock::duration time) {
    timed_out_ = false;
    timer_.expires_after(time);
    timer_.async_wait([self = shared_from_this(), turn = ++turn_](error_code error) {
      if (error || turn != self->turn_) return;
      self->timed_out_ = true;
      error_code ignored;
      self->socket_.cancel(ignored);
    });
  }
  void allow_any_time() {
    ++turn_;
    timer_.cancel();
  }

  void close() {
    allow_any_time();
    error_code ignored;
    socket_.close(ignored);
    server_.open.erase(this);
  }

  void log(int status) const {
    const std::chrono::duration<double, std::milli> time = Clock::now() - begin_;
    spdlog::info("{} {} {} {:.1f} ms", peer_, name_.empty() ? "-" : name_, status, time.count());
  }

  HttpServer::State& server_;
  Tcp::socket socket_;
  asio::steady_timer timer_;
  uint64_t turn_ = 0;  // of the timer: an old one that comes late means nothing
  bool timed_out_ = false;
  bool answering_ = false;
  boost::beast::flat_buffer buffer_{64 << 10};
  std::optional<Parser> parser_;
  const HttpRoute* route_ = nullptr;
  http::response<http::string_body> response_;
  std::string peer_;
  std::string name_;  // method and target, for the log
  Clock::time_point begin_ = Clock::now();
};

void HttpServer::State::listen() {
  const std::string where = fmt::format("{}:{}", printable(options.host), options.port);
  error_code error;
  const auto address = asio::ip::make_address(options.host == "localhost" ? "127.0.0.1" : options.host, error);
  require(!error, ErrorKind::usage, "--host: expected an address of this machine or localhost, got {}",
          printable(options.host));
  const Tcp::endpoint endpoint(address, static_cast<uint16_t>(options.port));
  const auto check = [&] { require(!error, ErrorKind::io, "{}: {}", where, error.message()); };
  acceptor.open(endpoint.protocol(), error);
  check();
  acceptor.set_option(Tcp::acceptor::reuse_address(true), error);
  acceptor.bind(endpoint, error);
  check();
  acceptor.listen(asio::socket_base::max_listen_connections, error);
  check();
}

void HttpServer::State::accept() {
  acceptor.async_accept([this](error_code error, Tcp::socket socket) {
    if (stopping) return;
    // Far over the limit there is not even an answer.
    const bool takes = !error && open.size() < 2 * static_cast<size_t>(options.connections);
    if (takes) std::make_shared<HttpConnection>(std::move(socket), *this)->start();
    if (!error) return accept();
    auto pause = std::make_shared<asio::steady_timer>(io, retry_after);  // out of descriptors, say
    pause->async_wait([this, pause](error_code) {
      if (!stopping) accept();
    });
  });
}

void HttpServer::State::watch(const std::atomic<bool>& stop) {
  clock.expires_after(retry_after);
  clock.async_wait([this, &stop](error_code) {
    if (stop && !stopping) {
      stopping = true;
      error_code ignored;
      acceptor.close(ignored);
      for (HttpConnection* connection : std::set(open)) connection->stop();
    }
    if (!stopping || !open.empty()) watch(stop);
  });
}

HttpAnswer http_error(int status, const std::string& message) {
  const nlohmann::json body = {{"error", message}};
  return {.status = status, .body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n"};
}

HttpServer::HttpServer(const HttpOptions& options, std::vector<HttpRoute> routes)
    : state_(std::make_unique<State>(options, std::move(routes))) {
  state_->listen();
}

HttpServer::~HttpServer() = default;

std::string HttpServer::address() const {
  const auto endpoint = state_->acceptor.local_endpoint();
  const std::string host = endpoint.address().to_string();
  return fmt::format("http://{}:{}/", endpoint.address().is_v6() ? "[" + host + "]" : host, endpoint.port());
}

void HttpServer::run(const std::atomic<bool>& stop) {
  state_->accept();
  state_->watch(stop);
  state_->io.run();
}

}  // namespace fovea
