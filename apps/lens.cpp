// fovea lens: attention on one's own photograph, without a network.
#include "fovea/vision/lens/lens.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "fovea/apps/arguments.h"
#include "fovea/apps/command.h"
#include "fovea/apps/common_options.h"
#include "fovea/apps/lens_page.h"
#include "fovea/apps/output.h"
#include "fovea/apps/picture_file.h"
#include "fovea/apps/preview.h"
#include "fovea/apps/progress.h"
#include "fovea/apps/signals.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/output_file.h"
#include "fovea/vision/draw/sheet.h"
#include "fovea/vision/image/decode.h"
#include "fovea/vision/image/resize.h"

namespace fovea {
namespace {

constexpr int64_t kPanelSide = 448;  // pixels
constexpr size_t kStrongest = 5;     // named in the answer

struct LensArguments {
  std::string photo;
  std::string from;
  ImageOptions decoding;
  std::string point = "centre";
  int64_t tokens = 4096;
  std::optional<double> temperature;
  std::optional<int64_t> window;
  int64_t heads = 1;
  bool denoise = false;
  bool page = false;
  std::string output = ".";
  bool preview = false;
  bool force = false;
  bool json = false;
};

struct NamedPoint {
  const char* name;
  double x, y;  // shares of the sides
};
constexpr NamedPoint kPoints[] = {{"centre", 1. / 2, 1. / 2},      {"center", 1. / 2, 1. / 2},
                                  {"top", 1. / 2, 1. / 6},         {"bottom", 1. / 2, 5. / 6},
                                  {"left", 1. / 6, 1. / 2},        {"right", 5. / 6, 1. / 2},
                                  {"top-left", 1. / 6, 1. / 6},    {"top-right", 5. / 6, 1. / 6},
                                  {"bottom-left", 1. / 6, 5. / 6}, {"bottom-right", 5. / 6, 5. / 6}};

struct Point {
  int64_t x = 0;
  int64_t y = 0;  // pixels of the photograph
};

// "X,Y" or a name.
Point parse_point(const std::string& text, const Image& photo) {
  const auto pixel = [](double share, int64_t size) { return static_cast<int64_t>(share * static_cast<double>(size)); };
  for (const NamedPoint& named : kPoints) {
    if (text == named.name) return {pixel(named.x, photo.width), pixel(named.y, photo.height)};
  }
  const size_t comma = text.find(',');
  require(comma != std::string::npos, ErrorKind::usage,
          "--point: expected X,Y in pixels, or centre, top, left, bottom-right, …, got {}", printable(text));
  return {parse_integer("--point", text.substr(0, comma), {.least = 0, .most = photo.width - 1}),
          parse_integer("--point", text.substr(comma + 1), {.least = 0, .most = photo.height - 1})};
}

// A photograph in as many square patches as asked for, each of 8×8 pixels.
struct PhotoView {
  PhotoView(Image image, int64_t tokens, int64_t stride) : photo(std::move(image)) {
    const double aspect = static_cast<double>(photo.height) / static_cast<double>(photo.width);
    rows = std::clamp<int64_t>(std::llround(std::sqrt(static_cast<double>(tokens) * aspect)), 1,
                               std::min(tokens, photo.height));
    columns =
        std::clamp<int64_t>(std::llround(static_cast<double>(rows) / aspect), 1, std::min(tokens / rows, photo.width));
    patches = resize(photo, columns * stride, rows * stride, Interpolation::bicubic);
  }
  // Where a token lies on the photograph.
  Rectangle place(int64_t token) const {
    const double wide = static_cast<double>(photo.width) / static_cast<double>(columns);
    const double tall = static_cast<double>(photo.height) / static_cast<double>(rows);
    return {.left = static_cast<double>(token % columns) * wide,
            .top = static_cast<double>(token / columns) * tall,
            .width = wide,
            .height = tall};
  }

  Image photo;
  int64_t rows = 1, columns = 1;
  Image patches;  // the photograph resized
};

struct LensAnswer {
  nlohmann::ordered_json json;
  std::vector<std::string> pictures;
  std::string previews;
};

Image read_photo(const std::string& path, const LensArguments& arguments) {
  return load_image(path,
                    DecodeOptions{.max_pixels = arguments.decoding.max_pixels, .apply_exif = arguments.decoding.exif});
}

std::string file_name(const std::string& path) {
  return printable(std::filesystem::path(path).filename().string());
}

// Writes <photo><ending> and remembers its name.
void write_picture_of(LensAnswer& answer, const LensArguments& arguments, const std::string& ending,
                      const Image& picture) {
  const std::string name = picture_names(arguments.output, ending, {arguments.photo}).front();
  if (!arguments.from.empty()) check_not_input(name, arguments.from);
  make_folder(arguments.output);
  write_picture(name, encode_png(picture), arguments.force);
  answer.pictures.push_back(name);
  if (arguments.preview) answer.previews += preview_of(picture);
}

// Writes <photo>.lens.html.
void write_page_of(LensAnswer& answer, const LensArguments& arguments, const LensPage& page) {
  const std::string name = picture_names(arguments.output, ".lens.html", {arguments.photo}).front();
  make_folder(arguments.output);
  check_replaceable(name, arguments.force, is_lens_page);
  write_file(name, lens_page(page));
  answer.pictures.push_back(name);
}

double entropy(const double* weights, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum -= weights[i] > 0 ? weights[i] * std::log(weights[i]) : 0;
  return count > 1 ? sum / std::log(static_cast<double>(count)) : 0;
}

// What one head looks at: how spread, and where most, in pixels of the photograph.
nlohmann::ordered_json head_json(const double* weights, const PhotoView& seen) {
  std::vector<int64_t> order(seen.rows * seen.columns);
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  const size_t named = std::min(kStrongest, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(named), order.end(),
                    [&](int64_t a, int64_t b) { return weights[a] > weights[b]; });
  nlohmann::ordered_json json = {{"entropy", entropy(weights, static_cast<int64_t>(order.size()))},
                                 {"strongest", nlohmann::ordered_json::array()}};
  for (size_t i = 0; i < named; ++i) {
    const Rectangle place = seen.place(order[i]);
    json["strongest"].push_back({{"x", std::floor(place.left + place.width / 2)},
                                 {"y", std::floor(place.top + place.height / 2)},
                                 {"weight", weights[order[i]]}});
  }
  return json;
}

nlohmann::ordered_json options_json(const LensOptions& options) {
  nlohmann::ordered_json json = {
      {"temperature", options.temperature}, {"window", nullptr}, {"patch", options.patches.patch}};
  if (options.window) json["window"] = *options.window;
  return json;
}

Heat heat_of(const double* weights, const PhotoView& seen) {
  return {.height = seen.rows, .width = seen.columns, .values = {weights, weights + seen.rows * seen.columns}};
}

std::string heat_caption(const Heat& heat, int64_t head, int64_t heads) {
  const float most = *std::max_element(heat.values.begin(), heat.values.end());
  const std::string who = heads > 1 ? fmt::format("where head {} looks", head) : "where it looks";
  return fmt::format("{}, {:.3g} at most", who, most);
}

LensOptions options_of(const LensArguments& arguments, const CommonOptions& common, LensOptions options) {
  options.patches.heads = arguments.heads;
  if (arguments.temperature) options.temperature = *arguments.temperature;
  if (arguments.window) options.window = arguments.window;
  options.threads = common.threads.value_or(0);
  return options;
}

LensAnswer look_at(const LensArguments& arguments, const CommonOptions& common) {
  const LensOptions options = options_of(arguments, common, {});
  const PhotoView photo(read_photo(arguments.photo, arguments), arguments.tokens, options.patches.stride);
  std::optional<PhotoView> other;
  if (!arguments.from.empty()) {
    other.emplace(read_photo(arguments.from, arguments), arguments.tokens, options.patches.stride);
  }
  const PhotoView& seen = other ? *other : photo;
  const Point point = parse_point(arguments.point, photo.photo);
  const int64_t row = point.y * photo.rows / photo.photo.height, column = point.x * photo.columns / photo.photo.width;
  const int64_t token = row * photo.columns + column;
  const std::vector<double> weights = look(photo.patches, seen.patches, token, options);
  const Image painted = repaint(photo.patches, seen.patches, options).rounded();
  const int64_t count = seen.rows * seen.columns;

  const std::string name = file_name(arguments.photo);
  const Rectangle mark = photo.place(token);
  std::vector<SheetPanel> panels = {{.picture = &photo.photo,
                                     .caption = fmt::format("{}, looking from {},{}", name, point.x, point.y),
                                     .mark = mark}};
  for (int64_t head = 0; head < arguments.heads; ++head) {
    SheetPanel panel{.picture = &seen.photo, .heat = heat_of(&weights[head * count], seen)};
    panel.caption = heat_caption(*panel.heat, head, arguments.heads);
    if (!other) panel.mark = mark;
    panels.push_back(std::move(panel));
  }
  panels.push_back({.picture = &painted,
                    .caption = other ? fmt::format("{} painted from {}", name, file_name(arguments.from))
                                     : "every patch as what it looks at"});
  const std::string window = options.window ? fmt::format("windows of {0}x{0}", 2 * *options.window + 1) : "no window";
  const std::string title =
      fmt::format("attention between {}x{} patches{}, temperature {:.3g}, {}, {} {}", photo.columns, photo.rows,
                  other ? " and those of another picture" : "", options.temperature, window, arguments.heads,
                  arguments.heads == 1 ? "head" : "heads");
  LensAnswer answer;
  write_picture_of(
      answer, arguments, ".lens.png",
      draw_sheet(panels,
                 {.title = title, .opacity = 0.8, .side = kPanelSide, .columns = 3, .unit = "attention weight"}));
  if (other) write_picture_of(answer, arguments, ".repainted.png", painted);
  if (arguments.page) {
    write_page_of(answer, arguments,
                  {.name = name,
                   .photo = photo.photo,
                   .patches = photo.patches,
                   .stride = options.patches.stride,
                   .token = token,
                   .temperature = options.temperature,
                   .window = options.window});
  }

  answer.json = {{"image", arguments.photo}};
  if (other) answer.json["from"] = arguments.from;
  answer.json["point"] = {point.x, point.y};
  answer.json["grid"] = {photo.rows, photo.columns};
  answer.json["token"] = {row, column};
  answer.json["seen_grid"] = {seen.rows, seen.columns};
  answer.json.update(options_json(options));
  answer.json["heads"] = nlohmann::ordered_json::array();
  for (int64_t head = 0; head < arguments.heads; ++head) {
    answer.json["heads"].push_back(head_json(&weights[head * count], seen));
  }
  return answer;
}

LensAnswer denoise(const LensArguments& arguments, const CommonOptions& common) {
  const Image photo = read_photo(arguments.photo, arguments);
  const double noise = noise_level(photo);
  LensOptions options = options_of(arguments, common, denoise_options(noise));
  std::optional<Progress> progress;
  options.progress = [&](int64_t done, int64_t total) {
    if (!progress) progress.emplace("denoise", total);
    progress->update(done);
    return stop_signal() == 0;
  };
  const Image clean = repaint(photo, photo, options).rounded();
  progress.reset();
  LensAnswer answer{.json = {{"image", arguments.photo}, {"noise", noise}}};
  answer.json.update(options_json(options));
  if (stop_signal() == 0) write_picture_of(answer, arguments, ".denoised.png", clean);
  return answer;
}

void check_lens(const CLI::App& app, const LensArguments& arguments) {
  require(draw_available(), ErrorKind::usage, "lens: this build of fovea has no OpenCV and cannot draw");
  for (const char* option : {"--from", "--point", "--tokens", "--page"}) {
    require(!arguments.denoise || app.count(option) == 0, ErrorKind::usage, "--denoise takes no {}; leave it out",
            option);
  }
  require(!arguments.preview || !arguments.json, ErrorKind::usage, "--preview and --json contradict each other");
  require(arguments.from.empty() || !arguments.window, ErrorKind::usage,
          "--window needs one picture: places of {} are none of {}", printable(arguments.from),
          printable(arguments.photo));
  require(!arguments.page || (arguments.from.empty() && arguments.heads == 1), ErrorKind::usage,
          "--page: shows one picture and one head; leave --from and --heads out");
}

int run_lens(const CLI::App& app, const LensArguments& arguments, const CommonOptions& common) {
  check_lens(app, arguments);
  LensAnswer answer = arguments.denoise ? denoise(arguments, common) : look_at(arguments, common);
  if (stop_signal() != 0) return exit_code_of(stop_signal());
  answer.json["pictures"] = answer.pictures;
  if (arguments.json) {
    print_output(answer.json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  } else {
    for (const std::string& name : answer.pictures) print_output(printable(name) + "\n");
    print_output(answer.previews);
  }
  return 0;
}

}  // namespace

Command add_lens(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.add_subcommand("lens", "See attention at work on a photograph, without a network");
  auto arguments = std::make_shared<LensArguments>();
  app->add_option("PHOTO", arguments->photo, "An image file")->required();
  app->add_option("--point", arguments->point,
                  "Where to look from: X,Y in pixels, or centre, top, bottom-left, … (centre)")
      ->type_name("POINT");
  app->add_option("--from", arguments->from, "Look at the patches of this picture and paint PHOTO from them")
      ->type_name("OTHER");
  add_positive(*app, "--temperature", arguments->temperature,
               "Small: only the patches that are most alike count; large: all of them (0.01; from the noise)");
  add_integer(*app, "--window", arguments->window, {.least = 0, .most = 1'000'000},
              "Look no further than so many patches to each side (everywhere; --denoise: 10 pixels)");
  add_integer(*app, "--heads", arguments->heads, {.least = 1, .most = 64},
              "Split what is compared into so many heads, coarse colours first, fine texture last (1)");
  add_integer(*app, "--tokens", arguments->tokens, {.least = 1, .most = 65'536}, "Patches of the photograph (4096)");
  app->add_flag("--denoise", arguments->denoise,
                "Non-local means: every pixel becomes the mean of those whose surroundings are alike");
  app->add_flag("--page", arguments->page, "Write <photo>.lens.html too: click a place, and see where it looks");
  app->add_option("--output", arguments->output,
                  "Folder for <photo>.lens.png, .repainted.png and .denoised.png (the current one)")
      ->type_name("DIR");
  app->add_flag("--preview", arguments->preview, "Show each picture in the terminal too, in coloured half blocks");
  app->add_flag("--force", arguments->force, "Replace files that were not written by this command");
  app->add_flag("--json", arguments->json, "Answer as JSON");
  add_decode_options(*app, arguments->decoding);
  add_integer(*app, "--threads", common.threads, {.least = 1, .most = 4096}, "Threads of the CPU (all unless given)");
  add_verbose_option(*app, common);
  return {app, [app, arguments, &common] { return run_lens(*app, *arguments, common); }};
}

}  // namespace fovea
