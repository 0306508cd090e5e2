-- Tables, strings and closures: work.lua ROUNDS. Prints a checksum.
local total = 0
for round = 1, tonumber(arg[1]) do
  local rows = {}
  for i = 1, 150000 do
    rows[i] = { id = i, name = 'n' .. (i * 7919 % 10007), tags = { i % 17, 'b' } }
  end
  local groups = {}
  for _, row in ipairs(rows) do
    local key = row.name:sub(1, 4)
    groups[key] = groups[key] or {}
    table.insert(groups[key], row.id)
  end
  for key, group in pairs(groups) do
    total = total + #group + #key
  end
  local parts = {}
  for i = 1, 40000 do
    parts[#parts + 1] = rows[i].name:gsub('(%d)(%d)', '%2%1') .. ';' .. string.format('%.3f', i / 7)
  end
  local text = table.concat(parts, '\n')
  for word in text:gmatch('%d+;') do
    total = total + #word
  end
end
print(total)
