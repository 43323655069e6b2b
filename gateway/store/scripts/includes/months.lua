-- Months of the Gregorian calendar, as YYYYMM. The sandbox has no os.date; this is the usual
-- arithmetic over eras of 400 years that begin in March, so that a leap day comes last.
local ERA_DAYS = 146097

local function month_of(day)
  local days = day + 719468 -- from 0000-03-01
  local day_of_era = days % ERA_DAYS
  local year_of_era = math.floor((day_of_era - math.floor(day_of_era / 1460)
    + math.floor(day_of_era / 36524) - math.floor(day_of_era / 146096)) / 365)
  local day_of_year = day_of_era
    - (365 * year_of_era + math.floor(year_of_era / 4) - math.floor(year_of_era / 100))
  local from_march = math.floor((5 * day_of_year + 2) / 153)
  local year = year_of_era + math.floor(days / ERA_DAYS) * 400
  if from_march >= 10 then
    return (year + 1) * 100 + from_march - 9
  end
  return year * 100 + from_march + 3
end

local function next_day(day)
  return day + 1
end

-- The day on which the month of `day` is over.
local function next_month_begins(day)
  local month = month_of(day)
  for later = day + 1, day + 31 do
    if month_of(later) ~= month then
      return later
    end
  end
end
