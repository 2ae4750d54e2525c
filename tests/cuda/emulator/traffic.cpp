// Counts what the memory system would do. A warp's threads make one request when they execute the
// same instruction: here, the k-th execution of one place in the code by each of the 32 threads.
// Global memory is moved in sectors of 32 bytes. Shared memory has 32 banks of 4 bytes; threads
// that want different words of one bank wait for each other (CUDA C++ Best Practices, ch. 10).

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "state.h"

namespace emulator {

namespace {

struct Record {
  u32 place, warp, occurrence, lane;
  u64 address;
};

struct Place {
  const void* site;
  u32 size, write, shared;
  u64 requests, parts, ideal, bytes;
};

std::vector<Record> records;
std::vector<Place> places;
std::unordered_map<u64, u32> place_numbers;
std::vector<std::vector<u32>> executed;  // by place, by thread

u32 number_of(const void* site, u32 size, bool write, bool shared) {
  u64 key = (reinterpret_cast<u64>(site) * 32 + size) * 2 + write;
  auto [entry, is_new] = place_numbers.try_emplace(key, u32(places.size()));
  if (is_new) {
    places.push_back({site, size, write, shared, 0, 0, 0, 0});
    executed.emplace_back(1024);
  }
  return entry->second;
}

u64 distinct(std::vector<u64>& values) {
  std::sort(values.begin(), values.end());
  return u64(std::unique(values.begin(), values.end()) - values.begin());
}

u64 sectors(const Record* first, const Record* last, u32 size) {
  static std::vector<u64> touched;
  touched.clear();
  for (auto* r = first; r != last; r++)
    for (u64 s = r->address / 32; s <= (r->address + size - 1) / 32; s++) touched.push_back(s);
  return distinct(touched);
}

// Threads' 8 bytes are served in two halves of a warp, 16 bytes in four quarters.
u64 wavefronts(const Record* first, const Record* last, u32 size, u64& ideal) {
  u32 group = size <= 4 ? 32 : 128 / size;
  u64 total = 0;
  for (u32 start = 0; start < 32; start += group) {
    static std::vector<u64> words;
    words.clear();
    for (auto* r = first; r != last; r++)
      if (r->lane >= start && r->lane < start + group)
        for (u64 w = r->address / 4; w <= (r->address + size - 1) / 4; w++) words.push_back(w);
    if (words.empty()) continue;
    u64 count = distinct(words), banks[32] = {};
    for (u64 i = 0; i < count; i++) banks[words[i] % 32]++;
    total += *std::max_element(banks, banks + 32);
    ideal++;
  }
  return total;
}

void count_request(const Record* first, const Record* last) {
  Place& place = places[first->place];
  place.requests++;
  place.bytes += u64(last - first) * place.size;
  if (place.shared) {
    place.parts += wavefronts(first, last, place.size, place.ideal);
  } else {
    place.parts += sectors(first, last, place.size);
    static std::vector<u64> touched;
    touched.clear();
    for (auto* r = first; r != last; r++) touched.push_back(r->address);
    place.ideal += (distinct(touched) * place.size + 31) / 32;
  }
}

bool same_request(const Record& a, const Record& b) {
  return a.place == b.place && a.warp == b.warp && a.occurrence == b.occurrence;
}

}  // namespace

void begin_block_traffic() {
  records.clear();
  for (auto& counts : executed) std::fill(counts.begin(), counts.end(), 0);
}

void record_traffic(const void* site, const void* address, u32 size, bool write, bool shared) {
  u32 place = number_of(site, size, write, shared), thread = current->number;
  records.push_back({place, thread / 32, executed[place][thread]++, thread % 32,
                     reinterpret_cast<u64>(address)});
}

void end_block_traffic() {
  std::sort(records.begin(), records.end(), [](const Record& a, const Record& b) {
    if (a.place != b.place) return a.place < b.place;
    if (a.warp != b.warp) return a.warp < b.warp;
    return a.occurrence < b.occurrence;
  });
  for (size_t i = 0, j; i < records.size(); i = j) {
    for (j = i; j < records.size() && same_request(records[i], records[j]);) j++;
    count_request(&records[i], &records[i] + (j - i));
  }
}

}  // namespace emulator

using namespace emulator;

extern "C" {

void emulator_traffic_reset() {
  places.clear(), place_numbers.clear(), executed.clear(), records.clear();
}

int emulator_traffic_count() { return int(places.size()); }

void emulator_traffic_row(int i, u64* row) {
  const Place& p = places[size_t(i)];
  u64 values[] = {reinterpret_cast<u64>(p.site), p.size, p.write, p.shared,
                  p.requests, p.parts, p.ideal, p.bytes};
  std::copy(values, values + 8, row);
}
}
