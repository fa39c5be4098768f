#include "fovea/apps/service.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <filesystem>

#include "fovea/apps/answers.h"
#include "fovea/apps/arguments.h"
#include "fovea/apps/captioner.h"
#include "fovea/apps/failure.h"
#include "fovea/apps/multipart.h"
#include "fovea/datasets/embedded.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/prepare.h"
#include "fovea/modules/nearest.h"
#include "fovea/vision/image/decode.h"

namespace fovea {

extern const char* const serve_html;  // files of apps/web, by CMake
extern const char* const serve_css;
extern const char* const serve_js;

namespace {

// An answer that is no matter of the image's content or the options.
struct Refusal {
  int status;
  std::string message;
};

// Of the exception being handled.
HttpAnswer failed() {
  try {
    throw;
  } catch (const Refusal& refusal) {
    return http_error(refusal.status, refusal.message);
  } catch (const Error& error) {
    switch (error.kind()) {
      case ErrorKind::usage:
        return http_error(400, error.what());
      case ErrorKind::data:
        return http_error(422, error.what());
      case ErrorKind::resource:
        return http_error(413, error.what());
      default:
        return http_error(500, error.what());
    }
  } catch (...) {
    const Failure failure = current_failure();
    return http_error(failure.code == static_cast<int>(ErrorKind::resource) ? 503 : 500, failure.message);
  }
}

HttpRoute asset(const char* path, const char* type, const char* text) {
  return {.method = "GET", .path = path, .works = false, .answer = [=](const HttpRequest&) {
            return HttpAnswer{.content_type = type, .body = text};
          }};
}

void freeze(torch::nn::Module& module) {
  prepare_for_inference(module);
  for (at::Tensor& parameter : module.parameters()) parameter.requires_grad_(false);
}

// The last part of a folder's path.
std::string short_name(const std::string& model) {
  const auto path = std::filesystem::path(model).lexically_normal();
  return printable((path.has_filename() ? path : path.parent_path()).filename().string());
}

}  // namespace

// A request that was understood: the picture, and what is asked about it.
struct Service::Upload {
  std::string name = "image";
  Image image;
  std::map<std::string, std::string> values;

  std::string text(const std::string& key) const {
    const auto found = values.find(key);
    return found == values.end() ? "" : found->second;
  }
  int64_t integer(const std::string& key, int64_t usual, const IntegerRange& range) const {
    return values.contains(key) ? parse_integer(key, text(key), range) : usual;
  }
  bool flag(const std::string& key, bool usual) const { return integer(key, usual, {.least = 0, .most = 1}) == 1; }
};

struct Service::Endpoint {
  const char* path;
  std::vector<std::string> parameters;
  std::string (Service::*answer)(const Upload& upload) const;
};

const std::vector<Service::Endpoint>& Service::endpoints() {
  static const std::vector<Endpoint> table = {
      {"/classify", {"model", "top_k"}, &Service::classify},
      {"/caption", {"beams", "n_best", "max_length", "prompt"}, &Service::caption},
      {"/attention", {"model"}, &Service::attention},
      {"/view", {"model", "method", "top_k", "scores", "beams", "captions"}, &Service::view},
  };
  return table;
}

Service::Service(const ServiceOptions& options, const Runtime& runtime) : images_(options.images), runtime_(runtime) {
  const auto add_named = [&](const std::string& model) {
    NetworkOptions one;
    one.model.model = model;
    add(one);
  };
  if (!options.network.model.model.empty()) add(options.network);
  for (const std::string& model : options.also) add_named(model);
  const bool shipped = choices_.empty() && options.captioner.empty();
  if (shipped) {
    for (const EmbeddedModel& model : embedded_models()) add_named(model.name);
    for (const EmbeddedCaptioner& captioner : embedded_captioners()) add_named(captioner.encoder);
  }
  if (shipped || !options.captioner.empty()) {
    captioner_ = open_captioner(options.captioner, "", runtime);
    freeze(captioner_->model->module());
  }
}

void Service::add(const NetworkOptions& options) {
  Choice choice{.name = short_name(options.model.model), .network = load_network(options, runtime_)};
  for (const Choice& other : choices_) {
    require(other.name != choice.name, ErrorKind::usage, "--also: there is a network {} already", choice.name);
  }
  freeze(choice.network.model->module());
  choice.methods = methods_to_show(choice.network);
  choices_.push_back(std::move(choice));
}

std::vector<std::string> Service::names() const {
  std::vector<std::string> names;
  for (const Choice& choice : choices_) names.push_back(choice.name);
  return names;
}

std::vector<HttpRoute> Service::routes() const {
  const auto [style, script] = viewer_assets();
  std::vector<HttpRoute> routes = {
      asset("/", "text/html; charset=utf-8", serve_html),
      asset("/viewer.css", "text/css; charset=utf-8", style),
      asset("/viewer.js", "text/javascript; charset=utf-8", script),
      asset("/serve.css", "text/css; charset=utf-8", serve_css),
      asset("/serve.js", "text/javascript; charset=utf-8", serve_js),
      {.method = "GET", .path = "/models", .works = false, .answer = [text = models()](const HttpRequest&) {
         return HttpAnswer{.body = text};
       }}};
  for (const Endpoint& endpoint : endpoints()) {
    routes.push_back({.method = "POST",
                      .path = endpoint.path,
                      .works = true,
                      .answer = [this, &endpoint](const HttpRequest& request) { return respond(endpoint, request); }});
  }
  return routes;
}

HttpAnswer Service::respond(const Endpoint& endpoint, const HttpRequest& request) const {
  try {
    return {.body = (this->*endpoint.answer)(read(request, endpoint.parameters))};
  } catch (...) {
    return failed();
  }
}

Service::Upload Service::read(const HttpRequest& request, const std::vector<std::string>& parameters) const {
  Upload upload{.values = request.query};
  std::optional<std::span<const uint8_t>> bytes;
  if (is_form(request.content_type)) {
    for (const FormPart& part : parse_form(request.content_type, request.body)) {
      if (part.file) {
        require(!bytes, ErrorKind::usage, "form: more than one file; send one image a request");
        bytes = part.content;
        upload.name = *part.file;
      } else {
        const bool fresh =
            upload.values.emplace(part.name, std::string(part.content.begin(), part.content.end())).second;
        require(fresh, ErrorKind::usage, "parameter {} is given twice", printable(part.name));
      }
    }
    require(bytes.has_value(), ErrorKind::usage, "form: there is no file in it");
  } else {
    bytes = request.body;
  }
  for (const auto& [name, value] : upload.values) {
    require(std::ranges::find(parameters, name) != parameters.end(), ErrorKind::usage,
            "unknown parameter {}; the nearest is {}", printable(name), nearest(name, parameters));
  }
  require(!bytes->empty(), ErrorKind::usage, "empty body: send an image, as it is or as a file of a form");
  try {
    upload.image = decode_image(*bytes, {.max_pixels = images_.max_pixels, .apply_exif = images_.exif});
  } catch (const Error& error) {
    if (!starts_as_image(*bytes)) throw Refusal{.status = 415, .message = error.what()};
    throw;
  }
  return upload;
}

const Service::Choice& Service::chosen(const Upload& upload) const {
  if (choices_.empty()) throw Refusal{.status = 404, .message = "this server has no network that classifies (--model)"};
  const std::string name = upload.text("model");
  if (name.empty()) return choices_.front();
  const auto found = std::ranges::find(choices_, name, &Choice::name);
  require(found != choices_.end(), ErrorKind::usage, "model {}: there are {}", printable(name),
          fmt::join(names(), ", "));
  return *found;
}

std::string Service::models() const {
  auto networks = nlohmann::ordered_json::array();
  for (const Choice& choice : choices_) {
    auto methods = nlohmann::ordered_json::array();
    for (const ExplainMethod& method : choice.methods) {
      methods.push_back({{"name", method.name}, {"summary", method.summary}});
    }
    networks.push_back({{"name", choice.name},
                        {"classes", choice.network.info.num_classes},
                        {"input", {choice.network.info.preprocess.height, choice.network.info.preprocess.width}},
                        {"methods", std::move(methods)}});
  }
  return as_text({{"models", std::move(networks)}, {"captioner", captioner_ ? captioner_->name : ""}});
}

std::string Service::classify(const Upload& upload) const {
  const Network& network = chosen(upload).network;
  const int64_t top_k = upload.integer("top_k", 5, {.least = 1, .most = 1'000'000});
  const at::Tensor logits = network.logits(preprocess(upload.image, network.info.preprocess).unsqueeze(0));
  return as_text(nlohmann::ordered_json::array({predictions_json(upload.name, network.best(logits[0], top_k))}));
}

std::string Service::caption(const Upload& upload) const {
  if (!captioner_) throw Refusal{.status = 404, .message = "this server has no captioner (--captioner DIR)"};
  CaptionOptions options{.generation = captioner_->usual.options, .prompt = upload.text("prompt")};
  GenerationOptions& generation = options.generation;
  if (upload.values.contains("beams")) generation.sample = false;
  generation.beams = upload.integer("beams", generation.beams, {.least = 1, .most = 16});
  generation.n_best = upload.integer("n_best", generation.n_best, {.least = 1, .most = 16});
  generation.max_length = upload.integer("max_length", generation.max_length, {.least = 2, .most = 1000});
  const c10::InferenceMode inference;
  const auto x = preprocess(upload.image, captioner_->preprocess).unsqueeze(0).to(runtime_.device, runtime_.dtype);
  auto list = nlohmann::ordered_json::array();
  append_captions(list, upload.name, fovea::caption(*captioner_, x, options).front());
  return as_text(list);
}

std::string Service::attention(const Upload& upload) const {
  const Network& network = chosen(upload).network;
  const PreprocessOptions& size = network.info.preprocess;
  const AttentionRecorder recorder(network.model->module());
  network.logits(preprocess(upload.image, size).unsqueeze(0));
  return as_text(attention_json(upload.name, network.info, profile_heads(recorder.maps(), size.height, size.width)));
}

// The picture as the page shows it; `method` is one of the network's, none, or unless given all of them.
std::string Service::view(const Upload& upload) const {
  ReportImage report{.name = printable(upload.name), .picture = upload.image};
  const bool words = upload.flag("captions", true);
  const int64_t beams = upload.integer("beams", 3, {.least = 1, .most = 16});
  if (!choices_.empty()) {
    const Choice& choice = chosen(upload);
    const std::string method = upload.text("method");
    LookOptions look{.top_k = upload.integer("top_k", 5, {.least = 1, .most = 1000}),
                     .methods = choice.methods,
                     .scores = upload.flag("scores", false)};
    if (!method.empty()) {
      std::erase_if(look.methods, [&](const ExplainMethod& one) { return one.name != method; });
      require(!look.methods.empty() || method == "none", ErrorKind::usage, "method {}: {} has no such",
              printable(method), choice.name);
    }
    look_at(report, choice.network, look);
  }
  if (captioner_ && words) read_words(report, *captioner_, runtime_, beams);
  return report_json({std::move(report)});
}

}  // namespace fovea
