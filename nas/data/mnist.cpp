// The files of MNIST and Fashion-MNIST.
#include "nas/data/mnist.h"

#include <string>

#include "nas/data/data_file.h"
#include "nas/data/idx.h"
#include "nas/data/public_set.h"

namespace oche::nas {
namespace {

struct Source {
  PublicSet files;         // training images and labels, test images and labels
  double mean, deviation;  // docs/data.md has the sources
};

PublicSet public_set(const std::string& name, const std::vector<std::string>& sha256) {
  PublicSet set{.name = name,
                .folder = "",
                .files = {{"train-images-idx3-ubyte", 47'040'016},
                          {"train-labels-idx1-ubyte", 60'008},
                          {"t10k-images-idx3-ubyte", 7'840'016},
                          {"t10k-labels-idx1-ubyte", 10'008}},
                .archives = {}};
  for (size_t i = 0; i < sha256.size(); ++i) {
    set.archives.push_back({set.files[i].name + ".gz", sha256[i]});
  }
  return set;
}

const Source& source_of(Mnist which) {
  static const Source digits{
      .files = public_set("mnist",
                          {"440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                           "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                           "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                           "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"}),
      .mean = 0.13066048,
      .deviation = 0.30810780};
  static const Source fashion{
      .files = public_set("fashion-mnist",
                          {"3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                           "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                           "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                           "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"}),
      .mean = 0.28604060,
      .deviation = 0.35302424};
  return which == Mnist::kDigits ? digits : fashion;
}

}  // namespace

Dataset load_mnist(Mnist which, const std::filesystem::path& directory, Part part) {
  const Source& source = source_of(which);
  return read_public_set(source.files, directory, [&](const std::filesystem::path& folder) {
    Dataset set{.name = source.files.name,
                .classes = kMnistShape.classes,
                .height = kMnistShape.height,
                .width = kMnistShape.width,
                .channels = kMnistShape.channels,
                .mean = {source.mean},
                .deviation = {source.deviation}};
    const PublicSet::File* file = &source.files.files[part == Part::kTrain ? 0 : 2];
    const std::filesystem::path images = folder / file[0].name, labels = folder / file[1].name;
    const std::string image_bytes = read_data_file(images, file[0].bytes, "the official size");
    const std::string label_bytes = read_data_file(labels, file[1].bytes, "the official size");
    append_idx({image_bytes, images.native()}, {label_bytes, labels.native()}, set);
    return set;
  });
}

}  // namespace oche::nas
